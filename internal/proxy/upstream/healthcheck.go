package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// checkInterval is the time between two checks of an address that passed the last one.
	checkInterval = 5 * time.Second
	// recheckInterval is the time between two checks of an address that failed the last one
	// or is out.
	recheckInterval = time.Second
	// failedChecksInRow is the number of consecutive failed checks that take an address out.
	failedChecksInRow = 2
)

// HealthCheck is a request GET Path that is sent to each address. An address passes with a
// status of 2xx or 3xx. The request contains nothing from any client's request.
type HealthCheck struct {
	// Path begins with a slash and may have a query. If it is empty, there are no checks.
	Path string
	// Timeout bounds one check. The maximum is 5 s.
	Timeout time.Duration
	// Dial opens a connection to an address, with TLS if the scheme of the URL is https.
	Dial func(ctx context.Context, u *url.URL) (net.Conn, error)
}

// RunHealthChecks checks each address until ctx is done: every 5 seconds, or every second
// while the address fails or is out. Two consecutive failures take an address out, and one
// success brings it back, for whatever reason it was out. RunHealthChecks returns when all
// its goroutines have ended, or at once if no path is configured.
func (p *Pool) RunHealthChecks(ctx context.Context) {
	if p.check.Path == "" {
		return
	}
	var all sync.WaitGroup
	for _, a := range p.addresses {
		all.Go(func() { p.checkAddress(ctx, p.newTransport(a), a) })
	}
	all.Wait()
}

// newTransport returns a transport that opens a new connection for each check of the
// address, so that a check also covers connecting.
func (p *Pool) newTransport(a *address) *http.Transport {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return p.check.Dial(ctx, a.url) }
	return &http.Transport{
		Proxy:                  nil, // as for requests
		DialContext:            dial,
		DialTLSContext:         dial,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func (p *Pool) checkAddress(ctx context.Context, transport *http.Transport, a *address) {
	tick := time.NewTicker(recheckInterval)
	defer tick.Stop()
	for wait := time.Duration(0); ; wait -= recheckInterval {
		if wait <= 0 || p.isOut(a) {
			err := p.probe(ctx, transport, a)
			if ctx.Err() != nil {
				return // a canceled check has no result
			}
			p.recordCheck(a, err)
			wait = checkInterval
			if err != nil {
				wait = recheckInterval
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *Pool) isOut(a *address) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return a.out
}

// probe sends one check. It returns nil if the address passes.
func (p *Pool) probe(ctx context.Context, transport *http.Transport, a *address) error {
	ctx, cancel := context.WithTimeout(ctx, min(p.check.Timeout, checkInterval))
	defer cancel()
	scheme, host := Origin(a.url)
	r := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: scheme, Host: host, Opaque: p.check.Path},
		Host:   host,
		Header: http.Header{"User-Agent": {"certgate"}},
	}).WithContext(ctx)
	res, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	_ = res.Body.Close()
	if res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("health check: want a status of 2xx or 3xx, found %d", res.StatusCode)
	}
	return nil
}

// recordCheck records the result of a check.
func (p *Pool) recordCheck(a *address, err error) {
	p.mu.Lock()
	a.failedChecks++
	if err == nil {
		a.failedChecks = 0
	}
	changed := a.out && err == nil || !a.out && a.failedChecks >= failedChecksInRow
	if changed {
		p.setOut(a, !a.out)
	}
	up := !a.out
	p.mu.Unlock()
	if changed {
		p.changed(Change{Name: a.name, Up: up, Err: err})
	}
}
