package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// The size of a load: requests are in flight at every moment of a key change.
const (
	loadWorkers = 8                   // half of them come with each certificate
	loadBefore  = 15                  // requests of each worker before the change
	loadAfter   = 30                  // requests of each worker after the change
	loadLimit   = 2 * harness.Timeout // for all of it; the machine may be busy
)

// load sends requests without a pause while the gateway's keys change. It keeps its
// connections open and repeats no request, so that every error is seen.
type load struct {
	addr         string
	old, renewed harness.Certificate
	switched     atomic.Bool // the old certificate must be refused

	warm, done sync.WaitGroup
	mu         sync.Mutex
	faults     []string
	passed     map[string]int // requests that passed with each certificate before the switch was over
	refused    int            // requests with the old certificate refused after it
}

// underLoad runs change while requests arrive. The change must be in force when change
// returns.
func underLoad(t *testing.T, addr string, old, renewed harness.Certificate, change func()) {
	t.Helper()
	l := &load{addr: addr, old: old, renewed: renewed, passed: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), loadLimit)
	defer cancel()
	l.warm.Add(loadWorkers)
	for i := range loadWorkers {
		l.done.Go(func() { l.work(ctx, i%2 == 0) })
	}
	l.warm.Wait()
	change()
	l.switched.Store(true)
	l.done.Wait()

	for _, fault := range l.faults[:min(len(l.faults), 10)] {
		t.Error(fault)
	}
	if ctx.Err() != nil {
		t.Errorf("want the load over in %v", loadLimit)
	}
	if l.passed["old"] < loadBefore || l.passed["renewed"] < loadBefore || l.refused < loadAfter {
		t.Errorf("want requests of all kinds, found %v passed and %d refused", l.passed, l.refused)
	}
}

// work is one client. It ends some requests after the change, or with its first error.
func (l *load) work(ctx context.Context, renewed bool) {
	warm := sync.OnceFunc(l.warm.Done)
	defer warm()
	c := &keepAlive{addr: l.addr}
	defer c.close()
	name, credential := "old", l.old
	if renewed {
		name, credential = "renewed", l.renewed
	}
	text := harness.Get("/events", credential).String()
	for n, late := 0, 0; late < loadAfter && ctx.Err() == nil; n++ {
		if n == loadBefore {
			warm()
		}
		after := l.switched.Load()
		if after {
			late++
		}
		status, reason, err := c.do(ctx, text)
		if !l.isExpected(answered{name, after, status, reason, err}) {
			return
		}
	}
}

// answered is the result of one request.
type answered struct {
	name   string // of the certificate
	after  bool   // it was sent after the switch
	status int
	reason string
	err    error
}

// isExpected reports whether the response is an expected one, and records it.
func (l *load) isExpected(a answered) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	untrusted := a.status == http.StatusForbidden && a.reason == string(refusal.CertificateUntrusted)
	switch {
	case a.err == nil && a.status == http.StatusOK && (a.name == "renewed" || !a.after):
		if !a.after {
			l.passed[a.name]++
		}
		return true
	case a.err == nil && untrusted && a.name == "old":
		if a.after {
			l.refused++
		}
		return true
	}
	l.faults = append(l.faults, fmt.Sprintf("%s certificate, sent after the switch: %t: found %d %s and the error %v", a.name, a.after, a.status, a.reason, a.err))
	return false
}

// keepAlive is a client with one connection. Unlike net/http's client it never repeats a
// request. It connects again only after a response with Connection: close.
type keepAlive struct {
	addr string
	from string // the address that it comes from; empty: any
	conn net.Conn
	in   *bufio.Reader
}

func (k *keepAlive) do(ctx context.Context, text string) (status int, reason string, err error) {
	if k.conn == nil {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(k.from)}}
		if k.conn, err = d.DialContext(ctx, "tcp", k.addr); err != nil {
			return 0, "", err
		}
		k.in = bufio.NewReader(k.conn)
	}
	if err := k.conn.SetDeadline(time.Now().Add(harness.Timeout)); err != nil {
		return 0, "", err
	}
	if _, err := io.WriteString(k.conn, text); err != nil {
		return 0, "", err
	}
	response, err := http.ReadResponse(k.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.Close {
		k.close()
	}
	return response.StatusCode, reasonIn(body), err
}

func (k *keepAlive) close() {
	if k.conn != nil {
		_ = k.conn.Close()
		k.conn = nil
	}
}

// both holds the certificates of one client from two master keys.
type both struct {
	before, after *harness.MasterKey
	old, renewed  harness.Certificate
}

func newBoth(t *testing.T) both {
	t.Helper()
	b := both{before: harness.NewMasterKey(t, "rsa"), after: harness.NewMasterKey(t, "p256")}
	b.old, b.renewed = b.before.Issue(t, harness.OU("mail")), b.after.Issue(t, harness.OU("mail"))
	for _, c := range []harness.Certificate{b.old, b.renewed} {
		harness.KeepSecret(c.HeaderValue(certheader.Base64PEM))
	}
	return b
}

// keys returns both public keys, as configured during a rotation.
func (b both) keys() string { return b.before.PublicKey + b.after.PublicKey }
