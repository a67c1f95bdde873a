package config

import (
	"errors"

	"github.com/certgate/certgate/internal/guard/resp"
)

// redisURL is the URL of a Redis server. Errors describe it and never quote it, because
// it may contain a password.
type redisURL struct {
	server resp.Server
}

func (r *redisURL) UnmarshalText(text []byte) (err error) {
	r.server, err = resp.ParseServer(string(text))
	return err
}

// redisDown selects the behavior while the Redis server does not respond.
type redisDown struct {
	remember bool // store nonces in the process
}

func (d *redisDown) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "refuse":
		d.remember = false
	case "remember":
		d.remember = true
	default:
		return errors.New(quote(s))
	}
	return nil
}
