package service_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/certgate/certgate/cmd/certgate/service"
)

// endpoint serves a JWK set.
type endpoint struct {
	*httptest.Server
	fetches atomic.Int32
	respond atomic.Pointer[http.HandlerFunc]
}

func newEndpoint(t *testing.T, respond http.HandlerFunc) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.respond.Store(&respond)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.fetches.Add(1)
		(*e.respond.Load())(w, r)
	}))
	e.Config.SetKeepAlivesEnabled(false) // net/http repeats a request on a connection that was kept
	t.Cleanup(e.Close)
	return e
}

func serving(set []byte, cacheControl string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", cacheControl)
		_, _ = w.Write(set)
	}
}

// fetching is a verifier of an endpoint with a clock that the test sets. Assertions are
// signed for the time of the clock.
type fetching struct {
	*service.Verifier
	now    atomic.Int64 // seconds after issued
	errors chan error
}

func newFetching(t *testing.T, e *endpoint) *fetching {
	t.Helper()
	f := &fetching{errors: make(chan error, 100)}
	f.Verifier = newVerifier(t, nil, func(o *service.Options) {
		o.KeySetURL, o.Now, o.OnKeyError = e.URL, f.time, func(err error) { f.errors <- err }
	})
	return f
}

func (f *fetching) time() time.Time { return issued().Add(time.Duration(f.now.Load()) * time.Second) }

func (f *fetching) verify(t *testing.T, k signingKey) service.Reason {
	t.Helper()
	at := f.time().Unix()
	_, err := f.Verify(request("GET", "/", "", k.sign(t, claims(map[string]any{"iat": at, "exp": at + 60}))))
	return reasonOf(t, err)
}

func (f *fetching) want(t *testing.T, at int64, k signingKey, want service.Reason, e *endpoint, fetches int32) {
	t.Helper()
	f.now.Store(at)
	if found := f.verify(t, k); found != want || e.fetches.Load() != fetches {
		t.Errorf("second %d: want %q and %d fetches, found %q and %d", at, want, fetches, found, e.fetches.Load())
	}
}

// TestUnknownKeyIsFetched checks that a new key is accepted after one fetch, that a removed
// key is refused, and that unknown keys cause few fetches.
func TestUnknownKeyIsFetched(t *testing.T) {
	first, second, unknown := newKey(t, "1", jose.EdDSA), newKey(t, "2", jose.ES256), newKey(t, "3", jose.EdDSA)
	e := newEndpoint(t, serving(keySet(t, first), "max-age=300"))
	f := newFetching(t, e)
	f.want(t, 0, first, "", e, 1)
	f.want(t, 0, first, "", e, 1)
	f.want(t, 4, unknown, service.UnknownKey, e, 1)
	next := serving(keySet(t, second), "max-age=300")
	e.respond.Store(&next)
	f.want(t, 5, second, "", e, 2)
	f.want(t, 5, first, service.UnknownKey, e, 2)
	f.want(t, 9, unknown, service.UnknownKey, e, 2)
	f.want(t, 10, unknown, service.UnknownKey, e, 3)
}

// TestOldSetIsReplaced checks that a key that the gateway has removed is refused at the
// latest when the set has twice its maximum age.
func TestOldSetIsReplaced(t *testing.T) {
	removed, kept := newKey(t, "1", jose.EdDSA), newKey(t, "2", jose.EdDSA)
	tests := []struct {
		name, cacheControl string
		maxAge             int64
	}{
		{"max-age", "public, max-age=300", 300},
		{"no limit", "", 300},
		{"invalid", "max-age=soon", 300},
		{"short", "max-age=1", 60},
		{"long", "max-age=100000", 3600},
		{"no-store", "no-store", 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t, serving(keySet(t, removed, kept), tt.cacheControl))
			f := newFetching(t, e)
			f.want(t, 0, removed, "", e, 1)
			next := serving(keySet(t, kept), tt.cacheControl)
			e.respond.Store(&next)
			f.want(t, tt.maxAge-1, removed, "", e, 1)
			f.want(t, 2*tt.maxAge, removed, service.UnknownKey, e, 2)
			f.want(t, 2*tt.maxAge, kept, "", e, 2)
		})
	}
}

// TestRefreshDoesNotDelay checks that requests with a known key do not wait for a fetch
// until the set has twice its maximum age, and that only one fetch runs at a time.
func TestRefreshDoesNotDelay(t *testing.T) {
	k := newKey(t, "1", jose.EdDSA)
	e := newEndpoint(t, serving(keySet(t, k), ""))
	f := newFetching(t, e)
	f.want(t, 0, k, "", e, 1)
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	slow := func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		serving(keySet(t, k), "")(w, r)
	}
	next := http.HandlerFunc(slow)
	e.respond.Store(&next)
	f.now.Store(300)
	for range 10 {
		if found := f.verify(t, k); found != "" {
			t.Errorf("want no refusal, found %s", found)
		}
	}
	<-arrived
	f.now.Store(600)
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() {
			if found := f.verify(t, k); found != "" {
				t.Errorf("want no refusal, found %s", found)
			}
		})
	}
	close(release)
	waiting.Wait()
	// A request that came after the release found the new set.
	if found := e.fetches.Load(); found != 2 && found != 3 {
		t.Errorf("want one fetch at a time, found %d in all", found)
	}
}

// TestBadSetKeepsTheLast checks that a failed fetch is reported, and does not replace the
// last good set.
func TestBadSetKeepsTheLast(t *testing.T) {
	k := newKey(t, "1", jose.EdDSA)
	elsewhere := newEndpoint(t, serving(keySet(t, newKey(t, "1", jose.EdDSA)), ""))
	tests := []struct {
		name    string
		respond http.HandlerFunc
		want    string
	}{
		{"not found", http.NotFound, "want status 200, found 404"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "want status 200, found 302"},
		{"no set", serving([]byte("<html>"), ""), "the JWK set: invalid character"},
		{"no keys", serving([]byte(`{"keys":[]}`), ""), "found none"},
		{"too long", serving(append(keySet(t, k), strings.Repeat(" ", 64<<10)...), ""), "want at most 64 KiB"},
		{"no response", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{"a part of the response", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(keySet(t, k))
		}, "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEndpoint(t, tt.respond)
			f := newFetching(t, e)
			f.want(t, 0, k, service.KeysUnavailable, e, 1)
			f.want(t, 4, k, service.KeysUnavailable, e, 1)
			if err := <-f.errors; !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q, found %v", tt.want, err)
			}
			good := serving(keySet(t, k), "")
			e.respond.Store(&good)
			f.want(t, 5, k, "", e, 2)
			e.respond.Store(&tt.respond)
			f.want(t, 605, k, "", e, 3)
			<-f.errors
			f.want(t, 609, k, "", e, 3)
		})
	}
}

// TestGoneClientDoesNotWait checks that a request whose context has ended does not wait for
// a fetch.
func TestGoneClientDoesNotWait(t *testing.T) {
	k := newKey(t, "1", jose.EdDSA)
	release := make(chan struct{})
	e := newEndpoint(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newFetching(t, e).Verify(request("GET", "/", "", k.sign(t, claims(nil))).WithContext(gone))
	if found := reasonOf(t, err); found != service.KeysUnavailable {
		t.Errorf("want %s, found %v", service.KeysUnavailable, err)
	}
}
