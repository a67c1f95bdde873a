package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// flooding sends invalid credentials on several connections without a pause, each
// credential once.
type flooding struct {
	addr string
	mail harness.Certificate // the forgeries are copies of it with another signature

	sent    atomic.Uint32 // forgeries made
	mu      sync.Mutex
	counts  map[string]int // responses by reason
	faults  []string
	limited chan struct{} // closed with the first rate_limited
	done    sync.WaitGroup
	stop    context.CancelFunc
}

// forgery returns a request with a certificate whose signature is wrong. Each call returns
// another certificate.
func (f *flooding) forgery() harness.Request {
	n := f.sent.Add(1)
	der := append([]byte(nil), f.mail.Parsed.Raw...)
	for i := range 4 {
		der[len(der)-9-i] ^= byte(n >> (8 * i))
	}
	return harness.PlainGet("/events").With("X-SSL-Auth: " + certheader.Encode(certheader.Base64DER, der))
}

// flood starts one connection from each of the addresses. It ends after the number of
// requests, or with the test.
func flood(t *testing.T, addr string, mail harness.Certificate, requests int, from ...string) *flooding {
	t.Helper()
	harness.KeepSecret(mail.HeaderValue(certheader.Base64DER)) // most of each forgery
	ctx, cancel := context.WithCancel(t.Context())
	f := &flooding{addr: addr, mail: mail, counts: map[string]int{}, limited: make(chan struct{}), stop: cancel}
	for _, source := range from {
		f.done.Go(func() { f.work(ctx, source, requests) })
	}
	t.Cleanup(func() { f.end(t) })
	return f
}

func (f *flooding) work(ctx context.Context, from string, requests int) {
	c := &keepAlive{addr: f.addr, from: from}
	defer c.close()
	for range requests {
		if ctx.Err() != nil {
			return
		}
		status, reason, err := c.do(ctx, f.forgery().String())
		f.mu.Lock()
		f.counts[reason]++
		if reason == string(refusal.RateLimited) && f.counts[reason] == 1 {
			close(f.limited)
		}
		if err != nil && ctx.Err() == nil || err == nil && status < 400 {
			f.faults = append(f.faults, fmt.Sprintf("status %d and the error %v", status, err))
		}
		f.mu.Unlock()
	}
}

// end stops the flood and returns the number of responses by reason.
func (f *flooding) end(t *testing.T) map[string]int {
	t.Helper()
	f.stop()
	return f.wait(t)
}

// wait waits for the end of the flood and expects every forgery refused.
func (f *flooding) wait(t *testing.T) map[string]int {
	t.Helper()
	f.done.Wait()
	for _, fault := range f.faults[:min(len(f.faults), 10)] {
		t.Error("a forgery: want it refused, found " + fault)
	}
	return f.counts
}

// held returns the number of responses that the gateway has delayed.
func held(t *testing.T, g *harness.Gateway) int {
	t.Helper()
	n := counter(metrics(t, g)["certgate_held_answers_total"], nil)
	if n < 0 {
		t.Fatal("want certgate_held_answers_total, found none")
	}
	return int(n)
}

// wantHeld repeats a request until the gateway has delayed more responses than before.
func wantHeld(t *testing.T, g *harness.Gateway, before int, ask func()) {
	t.Helper()
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); {
		ask()
		if held(t, g) > before {
			return
		}
	}
	t.Fatal("want delayed responses, found none")
}

// sendFrom sends one request on a connection from the address.
func sendFrom(t *testing.T, g *harness.Gateway, from string, r harness.Request) (status int, reason string) {
	t.Helper()
	c := &keepAlive{addr: g.Addr, from: from}
	defer c.close()
	status, reason, err := c.do(t.Context(), r.String())
	if err != nil {
		t.Fatal(err)
	}
	return status, reason
}

// TestFloodDoesNotDelayOtherClients floods the gateway from one address and expects valid
// clients served, including those at the flooding address.
func TestFloodDoesNotDelayOtherClients(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	var newcomers []harness.Certificate
	for n := range 6 {
		newcomers = append(newcomers, m.Issue(t, harness.OU("newcomer "+strconv.Itoa(n))))
	}
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"AUTH_FAILURE_RATE": "20"}))
	g.WantAllowed(t, harness.Get("/events", mail)) // known from now on
	begin := time.Now()
	f := flood(t, g.Addr, mail, 1_000_000, "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2")
	wantHeld(t, g, 10, func() {})

	for n, newcomer := range newcomers {
		for range 10 {
			wantGood(t, g, "127.0.0.1", mail)
		}
		wantGood(t, g, []string{"127.0.0.1", "127.0.0.2"}[n%2], newcomer)
		if found := strings.Count(g.Upstream.Take(), "\r\nX-Client-Id: "); found != 11 {
			t.Errorf("want 11 requests at the upstream, found %d", found)
		}
	}
	counts := f.end(t)
	n, elapsed := counts[string(refusal.CertificateUntrusted)], time.Since(begin)
	// The responses without delay are within the budget, which grows by 20 a second.
	if quick, most := n-held(t, g), 20+int(20*elapsed.Seconds())+8; quick > most {
		t.Errorf("%d of %d failures in %v were answered at once, want at most %d", quick, n, elapsed, most)
	}
	delete(counts, "") // cut at the end
	maps.DeleteFunc(counts, func(reason string, _ int) bool { return causedByRaceDetector(reason) })
	if len(counts) != 1 {
		t.Errorf("want certificate_untrusted for every forgery, found %v", counts)
	}
}

// TestFloodMemoryIsBounded sends 5,000 different invalid credentials from many addresses
// and measures the memory.
func TestFloodMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const sources = 500
	each := 10
	if harness.RaceDetector() { // which needs more memory
		each = 4
	}
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"AUTH_FAILURE_RATE": "20"}))
	quietly(t, g)
	wantGood(t, g, "127.0.0.1", mail)
	var from []string
	for n := range sources {
		from = append(from, net.IPv4(127, 1, byte(n/200), byte(1+n%200)).String())
	}
	total := 0
	for _, n := range flood(t, g.Addr, mail, each, from...).wait(t) {
		total += n
	}
	if total != sources*each {
		t.Errorf("%d forgeries answered, want %d", total, sources*each)
	}
	wantGood(t, g, "127.0.0.1", mail)
	wantSmall(t, g)
}

// TestFloodOfConnections checks that a bounded number of refusals is delayed and that
// further ones get 429, for the failing source only.
func TestFloodOfConnections(t *testing.T) {
	t.Parallel()
	const connections = 1200 // more than the number of delayed responses
	m := harness.NewMasterKey(t, "p256")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"AUTH_FAILURE_RATE": "1"}))
	quietly(t, g)
	wantGood(t, g, "127.0.0.2", mail)
	f := flood(t, g.Addr, mail, 1_000_000, slices.Repeat([]string{"127.0.0.2"}, connections)...)
	select {
	case <-f.limited:
	case <-time.After(harness.Timeout):
		t.Error("want rate_limited for a forgery, found none")
	}
	wantGood(t, g, "127.0.0.2", mail)   // known
	wantGood(t, g, "127.0.0.1", social) // from elsewhere
	f.end(t)
	wantSmall(t, g)
}

// quietly sets a log level at which requests are not logged.
func quietly(t *testing.T, g *harness.Gateway) {
	t.Helper()
	quiet := harness.Request{Method: "PUT", Target: "/loglevel", Header: []string{"Content-Type: application/json"}, Body: `{"level":"warn"}`}
	if a := g.SendAdmin(t, quiet); a.Status != http.StatusOK {
		t.Fatalf("want the log level changed, found %d", a.Status)
	}
}

// wantGood sends one valid request from the address and expects it allowed. With the race detector it
// may be refused as overloaded at first: see [causedByRaceDetector].
func wantGood(t *testing.T, g *harness.Gateway, from string, as harness.Certificate) {
	t.Helper()
	status, reason := sendFrom(t, g, from, harness.Get("/events", as))
	for end := time.Now().Add(harness.Timeout); causedByRaceDetector(reason) && time.Now().Before(end); {
		status, reason = sendFrom(t, g, from, harness.Get("/events", as))
	}
	if status != http.StatusOK {
		t.Errorf("from %s: want 200, found %d %s", from, status, reason)
	}
}

// causedByRaceDetector reports whether the reason is due to the race detector. A verification takes more than
// ten times as long with it, so a request may wait behind hundreds of others for longer than the second
// after which the gateway refuses it.
func causedByRaceDetector(reason string) bool {
	return harness.RaceDetector() && reason == string(refusal.Overloaded)
}

// wantSmall expects a peak memory of the process of at most 256 MiB.
func wantSmall(t *testing.T, g *harness.Gateway) {
	t.Helper()
	const most = 256 << 20
	if n := peakMemory(t, g); n > most && !harness.RaceDetector() {
		t.Errorf("a peak of %d MiB, want less than %d", n>>20, most>>20)
	}
}

// peakMemory returns the peak memory of the process in bytes.
func peakMemory(t *testing.T, g *harness.Gateway) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Command.Process.Pid))
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// TestFloodCountsBySource checks that a failure counts for the address that the gateway
// trusts, not for one that the client claims.
func TestFloodCountsBySource(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	f := &flooding{mail: m.Issue(t, harness.OU("mail"))}
	const proxy, client, victim = "127.0.0.1", "127.0.0.2", "127.0.0.3"
	tests := []struct {
		name          string
		from          string
		says, victims []string // X-Forwarded-For; n is replaced by another number each time
	}{
		{"no X-Forwarded-For", client, nil, nil},
		{"a client with another address in X-Forwarded-For", client, []string{"X-Forwarded-For: " + victim}, nil},
		{"a client with many addresses in X-Forwarded-For", client, []string{"X-Forwarded-For: 198.51.100.n"}, nil},
		{"a proxy with the client's address in X-Forwarded-For", proxy, []string{"X-Forwarded-For: 198.51.100.1"}, []string{"X-Forwarded-For: 198.51.100.2"}},
		{"a proxy that appends to the client's X-Forwarded-For", proxy, []string{"X-Forwarded-For: 198.51.100.2, 198.51.100.1"}, []string{"X-Forwarded-For: 198.51.100.2"}},
		{"a proxy that appends, and a client with many addresses", proxy, []string{"X-Forwarded-For: 203.0.113.n, 198.51.100.1"}, []string{"X-Forwarded-For: 198.51.100.2"}},
		{"the next address of an IPv6 network", proxy, []string{"X-Forwarded-For: 2001:db8::n"}, []string{"X-Forwarded-For: 2001:db8:1::1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, harness.Env{"AUTH_FAILURE_RATE": "2", "TRUSTED_PROXIES": proxy})
			n := 0
			bad := func(from string, headers []string) {
				n++
				r := f.forgery()
				for _, line := range headers {
					r = r.With(strings.Replace(line, "n", strconv.Itoa(1+n%250), 1))
				}
				if status, reason := sendFrom(t, g, from, r); reason != string(refusal.CertificateUntrusted) {
					t.Errorf("found %d %s, want %s", status, reason, refusal.CertificateUntrusted)
				}
			}
			wantHeld(t, g, 0, func() { bad(test.from, test.says) })
			before, other := held(t, g), victim
			if test.victims != nil {
				other = proxy
			}
			for range 2 { // the whole budget
				bad(other, test.victims)
			}
			if n := held(t, g); n != before {
				t.Errorf("%d responses to another source delayed, want none", n-before)
			}
			wantHeld(t, g, before, func() { bad(other, test.victims) })
		})
	}
}
