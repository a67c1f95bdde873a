package config

import (
	"errors"

	"github.com/certgate/certgate/internal/guard/replay"
)

// redisURL is a Redis server, and perhaps its password: what was found is described
// and never quoted.
type redisURL struct {
	server replay.Server
}

func (r *redisURL) UnmarshalText(text []byte) (err error) {
	r.server, err = replay.ParseServer(string(text))
	return err
}

// redisDown is what to do while the server gives no answers.
type redisDown struct {
	remember bool
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
