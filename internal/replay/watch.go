package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// failed counts a failure that began in this epoch.
func (r *Redis) failed(epoch int64, err error) {
	if r.epoch.Load() == epoch && r.failures.Add(1) >= failuresInRow {
		r.lose(epoch, err)
	}
}

// lose ends the epoch in which the server was there; only one can.
func (r *Redis) lose(epoch int64, err error) {
	if !r.epoch.CompareAndSwap(epoch, epoch+1) {
		return
	}
	r.report(Gone, err)
	r.gone <- struct{}{} // has room: Watch has taken the one before, or it would not be back
}

// Watch looks at the server when it begins, and brings it back when it was gone.
// When ctx is done it ends the connections and returns; what is spent afterwards is
// refused.
func (r *Redis) Watch(ctx context.Context) {
	defer r.client.Close() //nolint:errcheck // nothing is left to be written
	switch err := r.try(ctx); {
	case ctx.Err() != nil:
		return
	case err != nil:
		r.lose(0, err)
	default:
		r.lookUntilSeen(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.gone:
		}
		for r.try(ctx) != nil {
			if !pause(ctx, r.rest) {
				return
			}
		}
		r.failures.Store(0)
		r.epoch.Add(1)
		r.report(Back, nil)
		r.lookUntilSeen(ctx)
	}
}

// try asks for what every nonce asks for: a replica or a full server would answer
// anything else.
func (r *Redis) try(ctx context.Context) error {
	_, err := r.set(ctx, prefix+"try", time.Second)
	if err != nil {
		return r.explain(err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (r *Redis) lookUntilSeen(ctx context.Context) {
	for !r.look(ctx) && pause(ctx, r.rest) {
	}
}

// look finds out whether the server keeps what it is told, and reports if not. It
// is false when there was no answer.
func (r *Redis) look(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info, err := r.client.Info(ctx, "memory").Result()
	switch _, answered := errors.AsType[redis.Error](err); {
	case answered:
		r.report(Forgetful, fmt.Errorf("want to see its maxmemory-policy by INFO, found %w", r.explain(err)))
		return true
	case err != nil:
		return false
	}
	policy, most := infoField(info, "maxmemory_policy"), infoField(info, "maxmemory")
	if policy != "noeviction" && most != "0" {
		r.report(Forgetful, fmt.Errorf("want maxmemory-policy noeviction, found %.40q with maxmemory %.40q", policy, most))
	}
	return true
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// explain is the error without what it must not say. Of an answer of the server
// only the code is kept: servers quote commands that they do not know, and one of
// these has the password in it.
func (r *Redis) explain(err error) error {
	if answer, ok := errors.AsType[redis.Error](err); ok {
		code, _, _ := strings.Cut(answer.Error(), " ")
		return fmt.Errorf("redis %s answers %.40q", r.server.Addr(), code)
	}
	text := err.Error()
	if secret := r.server.login.password; secret != "" && (strings.Contains(text, secret) || strings.Contains(text, strings.Trim(strconv.Quote(secret), `"`))) {
		return fmt.Errorf("redis %s: an error that is not shown, because the password is in its text", r.server.Addr())
	}
	return fmt.Errorf("redis %s: %w", r.server.Addr(), err)
}
