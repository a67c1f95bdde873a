package replay_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/replay"
)

var (
	_ httpsig.Nonces = (*replay.Memory)(nil)
	_ httpsig.Nonces = (*replay.Redis)(nil)
)

// noon is the start time of the tests. It is a whole second.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// nonceOf returns a nonce of the client that is valid for two minutes from now.
func nonceOf(client string, number int, now time.Time) httpsig.Nonce {
	return httpsig.Nonce{
		Key: trust.KeyID{1, byte(len(client))}, Client: client, Value: client + strconv.Itoa(number),
		Now: now, Until: now.Add(2 * time.Minute),
	}
}

// until returns the nonce with Until set to t.
func until(n httpsig.Nonce, t time.Time) httpsig.Nonce {
	n.Until = t
	return n
}

// at returns the nonce with Now set to now.
func at(n httpsig.Nonce, now time.Time) httpsig.Nonce {
	n.Now = now
	return n
}

// wantReason checks that err is a refusal with the reason want, or nil if want is
// empty. An Overloaded refusal must have a Retry-After of one second.
func wantReason(tb testing.TB, name string, err error, want refusal.Reason) {
	tb.Helper()
	d, refused := errors.AsType[*refusal.Error](err)
	switch {
	case want == "" && err != nil:
		tb.Errorf("%s: want it accepted, found %v", name, err)
	case want == "":
	case !refused || d.Reason != want:
		tb.Errorf("%s: want %s, found %v", name, want, err)
	case want == refusal.Overloaded && d.RetryAfter != time.Second:
		tb.Errorf("%s: want a retry after one second, found %s", name, d.RetryAfter)
	}
}
