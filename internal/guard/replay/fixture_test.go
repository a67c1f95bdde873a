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

// noon is when the tests begin: on a whole second.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// nonceOf is a nonce of a client's key that is good for two minutes.
func nonceOf(client string, number int, now time.Time) httpsig.Nonce {
	return httpsig.Nonce{
		Key: trust.KeyID{1, byte(len(client))}, Client: client, Value: client + strconv.Itoa(number),
		Now: now, Until: now.Add(2 * time.Minute),
	}
}

// until is the nonce with another end.
func until(n httpsig.Nonce, t time.Time) httpsig.Nonce {
	n.Until = t
	return n
}

// at is the nonce at another time.
func at(n httpsig.Nonce, now time.Time) httpsig.Nonce {
	n.Now = now
	return n
}

// wantReason wants a refusal of this reason, or none where it is empty.
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
		tb.Errorf("%s: want another try after a second, found %s", name, d.RetryAfter)
	}
}
