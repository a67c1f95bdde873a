package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
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

// Watch tries the server when it begins, and tries it again while it is gone, until
// it takes a key. When ctx is done, Watch closes the connections and returns; nonces
// that are spent afterwards are refused.
func (r *Redis) Watch(ctx context.Context) {
	defer r.pool.close()
	defer context.AfterFunc(ctx, r.pool.close)() // ends what waits for the server
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
			if !pause(ctx, r.limits.rest) {
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
	for !r.look(ctx) && pause(ctx, r.limits.rest) {
	}
}

// look asks the server for its maxmemory-policy and reports Forgetful unless the
// server keeps every key until its time. It returns false when there was no answer.
func (r *Redis) look(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.limits.whole)
	defer cancel()
	answer, err := r.pool.ask(ctx, "INFO", "memory")
	switch {
	case isAnswer(err):
		r.report(Forgetful, fmt.Errorf("want to see its maxmemory-policy by INFO, found %w", r.explain(err)))
		return true
	case err != nil:
		return false
	case answer.kind != bulkReply:
		r.report(Forgetful, fmt.Errorf("want to see its maxmemory-policy by INFO, found %s", answer))
		return true
	}
	policy, most := infoField(answer.text, "maxmemory_policy"), infoField(answer.text, "maxmemory")
	if policy != "noeviction" && most != "0" {
		r.report(Forgetful, fmt.Errorf("want maxmemory-policy noeviction, found %.40q with maxmemory %.40q", policy, most))
	}
	return true
}

// isAnswer reports whether the error was caused by a reply, and not by its absence.
func isAnswer(err error) bool {
	return errors.As(err, new(serverError)) || errors.As(err, new(protocolError))
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// explain adds the server's address to an error. It hides an error whose text
// contains the password.
func (r *Redis) explain(err error) error {
	text := err.Error()
	if secret := r.server.login.password; secret != "" && (strings.Contains(text, secret) || strings.Contains(text, strings.Trim(strconv.Quote(secret), `"`))) {
		return fmt.Errorf("redis %s: an error that is not shown, because the password is in its text", r.server.Addr())
	}
	return fmt.Errorf("redis %s: %w", r.server.Addr(), err)
}
