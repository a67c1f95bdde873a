package httpsig_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestPeriod tests both ends of the validity period to the nanosecond, with and without
// clock skew.
func TestPeriod(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms()) // one minute from now
	end := now.Add(time.Minute)
	tests := []struct {
		name string
		skew time.Duration
		at   time.Time
		want refusal.Reason
	}{
		{"at created", 0, now, ""},
		{"before created", 0, now.Add(-1), expired},
		{"at expires", 0, end, ""},
		{"after expires", 0, end.Add(1), expired},
		{"at created minus skew", time.Minute, now.Add(-time.Minute), ""},
		{"before created minus skew", time.Minute, now.Add(-time.Minute - 1), expired},
		{"at expires plus skew", time.Minute, end.Add(time.Minute), ""},
		{"after expires plus skew", time.Minute, end.Add(time.Minute + 1), expired},
		{"at expires plus the maximum skew", time.Hour, end.Add(5 * time.Minute), ""},
		{"after expires plus the maximum skew", time.Hour, end.Add(5*time.Minute + 1), expired},
		{"before created minus the maximum skew", time.Hour, now.Add(-5*time.Minute - 1), expired},
		{"negative skew", -time.Hour, now, ""},
		{"negative skew, before created", -time.Hour, now.Add(-1), expired},
		{"zero time", 0, time.Time{}, expired},
		{"far future", 0, time.Unix(1<<62, 0), expired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, n := newVerifier()
			v.ClockSkew = tt.skew
			_, err := v.Read(m, tt.at)
			wantReason(t, err, tt.want)
			if n.calls > 0 {
				t.Error("a nonce was used")
			}
		})
	}
}

// checked returns the argument of Finish, for a message read at now.
func checked(t *testing.T, v *httpsig.Verifier, p testClient, m httpsig.Message) httpsig.Checked {
	t.Helper()
	s, err := v.Read(m, now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Check(s, m, p.client)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPeriodEndsMeanwhile asserts that Finish refuses a signature that expires after Read,
// because the store may have discarded its nonce, even if the caller passes the same time
// to both steps.
func TestPeriodEndsMeanwhile(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	last := 2 * time.Minute // lifetime plus clock skew
	tests := []struct {
		name          string
		at            time.Duration // the caller's time, relative to now
		wait, reading time.Duration
		want          refusal.Reason
	}{
		{"immediately", 0, 0, 0, ""},
		{"caller's time valid", last, 0, 0, ""},
		{"caller's time expired", last + 1, 0, 0, expired},
		{"delay, still valid", 0, last, 0, ""},
		{"delay, expired", 0, last + 1, 0, expired},
		{"slow body, still valid", 0, 0, last, ""},
		{"slow body, expired", 0, 0, last + 1, expired},
		{"delay and slow body, expired", 0, time.Minute, time.Minute + 1, expired},
		{"clock set back", -time.Hour, 0, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, n := newVerifier()
				slow := m
				slow.Body = func() ([]byte, error) {
					time.Sleep(tt.reading)
					return m.Body()
				}
				c := checked(t, v, p, slow)
				time.Sleep(tt.wait)
				_, err := v.Finish(c, slow, now.Add(tt.at))
				wantReason(t, err, tt.want)
				if (n.calls > 0) != (tt.want == "") {
					t.Errorf("%d calls of the nonce store", n.calls)
				}
			})
		})
	}
}

// TestNonce asserts the Nonce that Finish passes to the store.
func TestNonce(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	synctest.Test(t, func(t *testing.T) {
		v, n := newVerifier()
		c := checked(t, v, p, m)
		at := now.Add(time.Second)
		_, err := v.Finish(c, m, at)
		wantReason(t, err, "")
		own := p.client.Certificate().OwnKeyID()
		want := httpsig.Nonce{
			Key: own, Client: "mail", Value: terms().Nonce,
			Now: at, Until: time.Unix(now.Unix()+60+60+10, 0),
		}
		if got := n.used[own.String()+terms().Nonce]; got != want {
			t.Errorf("want %+v, found %+v", want, got)
		}
	})
}

// TestNonceIsForTheKey asserts that a nonce is accepted once per key, regardless of the
// request and the certificate.
func TestNonceIsForTheKey(t *testing.T) {
	i := newIssuer(t)
	p := i.issue(p256(t))
	renewed, other := i.issue(p.key), i.issue(p256(t))
	v, _ := newVerifier()
	use := func(p testClient, m httpsig.Message, want refusal.Reason) {
		t.Helper()
		_, err := prove(v, p.sign(t, m, terms()), p.client, now)
		wantReason(t, err, want)
	}
	use(p, post(p), "")
	use(p, post(p), refusal.ProofReplayed)
	use(p, get(p), refusal.ProofReplayed)
	use(renewed, post(renewed), refusal.ProofReplayed)
	use(other, post(other), "")
}

// TestNonceIsLast asserts that a refused request does not use the nonce, so the valid
// request is still accepted. The body is read at most once, and only after the signature
// is verified.
func TestNonceIsLast(t *testing.T) {
	p := newParty(t)
	good := p.sign(t, post(p), terms())
	broken := errors.New("the connection is gone")
	period := func(created, expires int64) string {
		return fmt.Sprintf("created=%d;expires=%d", now.Unix()+created, now.Unix()+expires)
	}
	replace := func(m *httpsig.Message, name, old, with string) {
		m.Header.Set(name, strings.Replace(m.Header.Get(name), old, with, 1))
	}
	tests := []struct {
		name   string
		change func(m *httpsig.Message)
		want   refusal.Reason
		bodies int
	}{
		{"form", func(m *httpsig.Message) { replace(m, "Signature", "sig1", "sig2") }, malformed, 0},
		{"coverage", func(m *httpsig.Message) { replace(m, "Signature-Input", `"@path" `, "") }, incomplete, 0},
		{"signature", func(m *httpsig.Message) { m.Header.Set("Signature", "sig1=:AAAA:") }, invalid, 0},
		{"nonce", func(m *httpsig.Message) { replace(m, "Signature-Input", `nonce="`, `nonce="x`) }, invalid, 0},
		{"key id", func(m *httpsig.Message) { replace(m, "Signature-Input", `keyid="`, `keyid="x`) }, invalid, 0},
		{"created", func(m *httpsig.Message) { replace(m, "Signature-Input", period(0, 60), period(1, 60)) }, invalid, 0},
		{"expires", func(m *httpsig.Message) { replace(m, "Signature-Input", period(0, 60), period(0, 61)) }, invalid, 0},
		{"digest", func(m *httpsig.Message) { m.Body = content("x") }, digest, 1},
		{"no body", func(m *httpsig.Message) { m.Body = content("") }, digest, 1},
		{"body unreadable", func(m *httpsig.Message) { m.Body = func() ([]byte, error) { return nil, broken } }, "", 1},
		{"body too large", func(m *httpsig.Message) {
			m.Body = func() ([]byte, error) { return []byte(event), refusal.New(refusal.BodyTooLarge, "too large") }
		}, refusal.BodyTooLarge, 1},
		{"unchanged", func(*httpsig.Message) {}, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, n := newVerifier()
			m := with(good, nil)
			tt.change(&m)
			bodies, inner := 0, m.Body
			m.Body = func() ([]byte, error) { bodies++; return inner() }
			_, err := prove(v, m, p.client, now)
			if tt.name == "body unreadable" {
				if !errors.Is(err, broken) || refusal.Of(err) != nil {
					t.Errorf("want the body's error unchanged, found %v", err)
				}
			} else {
				wantReason(t, err, tt.want)
			}
			if used := n.calls > 0; used != (tt.name == "unchanged") {
				t.Errorf("%d calls of the nonce store", n.calls)
			}
			if bodies != tt.bodies {
				t.Errorf("want %d reads of the body, found %d", tt.bodies, bodies)
			}
			if tt.name != "unchanged" {
				_, err = prove(v, good, p.client, now)
				wantReason(t, err, "")
			}
		})
	}
}

// TestNoncesRefuse asserts that Finish returns the refusal or fault of the nonce store.
func TestNoncesRefuse(t *testing.T) {
	p := newParty(t)
	m := p.sign(t, post(p), terms())
	fault := errors.New("a fault")
	for _, want := range []error{
		refusal.New(refusal.Overloaded, "full"), refusal.New(refusal.ProofReplayed, "used"), fault,
	} {
		v, n := newVerifier()
		n.err = want
		verified, err := prove(v, m, p.client, now)
		if verified.Valid() {
			t.Error("want an invalid Verified with an error")
		}
		if refused := refusal.Of(want); refused != nil {
			wantReason(t, err, refused.Reason)
		} else if !errors.Is(err, fault) {
			t.Errorf("want the fault, found %v", err)
		}
	}
}
