package replay

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/guard/resp"
)

// failed counts a failure of a command that started in the epoch. It has no effect
// after that epoch has ended.
func (r *Redis) failed(epoch int64, err error) {
	if r.epoch.Load() == epoch && r.failures.Add(1) >= failuresInRow {
		r.markGone(epoch, err)
	}
}

// markGone ends the epoch and marks the server as gone. Of several concurrent calls for
// the same epoch, one has an effect.
func (r *Redis) markGone(epoch int64, err error) {
	if !r.epoch.CompareAndSwap(epoch, epoch+1) {
		return
	}
	r.report(Gone, err)
	r.gone <- struct{}{} // does not block: Watch receives the previous value before it marks the server as up
}

// Watch checks the server once when it starts. While the server is gone, Watch retries
// until the server stores a key. When ctx is done, Watch closes the connections and
// returns; nonces that are used afterwards are treated as if the server were gone.
func (r *Redis) Watch(ctx context.Context) {
	defer r.pool.Close()
	defer context.AfterFunc(ctx, r.pool.Close)() // interrupts commands that wait for a reply
	switch err := r.try(ctx); {
	case ctx.Err() != nil:
		return
	case err != nil:
		r.markGone(0, err)
	default:
		r.checkPolicyUntilKnown(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.gone:
		}
		for r.try(ctx) != nil {
			if !pause(ctx, r.limits.retry) {
				return
			}
		}
		r.failures.Store(0)
		r.epoch.Add(1)
		r.report(Back, nil)
		r.checkPolicyUntilKnown(ctx)
	}
}

// try stores a key in the same way as Use does. A replica or a server without free
// memory would reply to commands that write nothing, so they would not show that
// nonces are refused.
func (r *Redis) try(ctx context.Context) error {
	_, err := r.set(ctx, prefix+"try", time.Second)
	if err != nil {
		return r.server.Explain(err)
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

func (r *Redis) checkPolicyUntilKnown(ctx context.Context) {
	for !r.checkPolicy(ctx) && pause(ctx, r.limits.retry) {
	}
}

// checkPolicy reads the maxmemory-policy of the server and reports MayEvict unless the
// server keeps every key until it expires. It returns false if no reply arrived.
func (r *Redis) checkPolicy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.limits.total)
	defer cancel()
	answer, err := r.pool.Do(ctx, "INFO", "memory")
	info, isBulk := answer.Bulk()
	switch {
	case resp.IsReply(err):
		r.report(MayEvict, fmt.Errorf("want to see its maxmemory-policy by INFO, found %w", r.server.Explain(err)))
		return true
	case err != nil:
		return false
	case !isBulk:
		r.report(MayEvict, fmt.Errorf("want to see its maxmemory-policy by INFO, found %s", answer))
		return true
	}
	policy, most := infoField(info, "maxmemory_policy"), infoField(info, "maxmemory")
	if policy != "noeviction" && most != "0" {
		r.report(MayEvict, fmt.Errorf("want maxmemory-policy noeviction, found %.40q with maxmemory %.40q", policy, most))
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
