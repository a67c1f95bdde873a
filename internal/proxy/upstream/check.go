package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// checkEvery is how often an address is asked that is well.
	checkEvery = 5 * time.Second
	// checkAgain is how often one is asked that is not, or is out.
	checkAgain = time.Second
	// unwellInRow failed checks put an address out.
	unwellInRow = 2
)

// Check is a question to each address: GET Path. A status of 2xx or 3xx is a
// good answer. Nothing of any request is in it, and no client's identity.
type Check struct {
	// Path begins with a slash and may have a query; empty: no checks.
	Path string
	// Timeout bounds one check; more than 5 s is 5 s.
	Timeout time.Duration
}

// Watch asks each address about its health until ctx is done, every 5 seconds,
// or every second while it is not well. Two failures in a row take it out of the
// choice, one good answer brings it back, for whatever reason it was out. It
// returns when nothing of it is left. Without a path it returns at once.
func (p *Pool) Watch(ctx context.Context) {
	if p.check.Path == "" {
		return
	}
	p.watch(ctx, newTransport())
}

// newTransport takes a new connection for each check: that, too, is looked at.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // as for requests
		DisableKeepAlives:      true,
		DisableCompression:     true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func (p *Pool) watch(ctx context.Context, transport *http.Transport) {
	var all sync.WaitGroup
	for _, a := range p.addresses {
		all.Go(func() { p.watchOne(ctx, transport, a) })
	}
	all.Wait()
}

func (p *Pool) watchOne(ctx context.Context, transport *http.Transport, a *address) {
	tick := time.NewTicker(checkAgain)
	defer tick.Stop()
	for wait := time.Duration(0); ; wait -= checkAgain {
		if wait <= 0 || p.isOut(a) {
			err := p.ask(ctx, transport, a)
			if ctx.Err() != nil {
				return // and a check that was given up says nothing
			}
			p.examined(a, err)
			wait = checkEvery
			if err != nil {
				wait = checkAgain
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

// ask is one check, nil when the address is well.
func (p *Pool) ask(ctx context.Context, transport *http.Transport, a *address) error {
	ctx, cancel := context.WithTimeout(ctx, min(p.check.Timeout, checkEvery))
	defer cancel()
	r := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Scheme: a.url.Scheme, Host: a.url.Host, Opaque: p.check.Path},
		Host:   a.url.Host,
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

// examined takes note of a check.
func (p *Pool) examined(a *address, err error) {
	p.mu.Lock()
	a.unwell++
	if err == nil {
		a.unwell = 0
	}
	turned := a.out && err == nil || !a.out && a.unwell >= unwellInRow
	if turned {
		p.turn(a, !a.out)
	}
	up := !a.out
	p.mu.Unlock()
	if turned {
		p.changed(Change{Name: a.name, Up: up, Err: err})
	}
}
