package signing_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/certgate/certgate/internal/tool/signing"
)

// TestOrigin checks that requests are sent to the transport's origin only.
func TestOrigin(t *testing.T) {
	t.Parallel()
	c := newCredential(t, newAuthority(t))
	var sent atomic.Int32
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		sent.Add(1)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
	})
	for _, test := range []struct {
		name, origin, url, host string
		good                    bool
	}{
		{"same", "https://app.example", "https://app.example/events", "", true},
		{"trailing slash", "https://app.example/", "https://app.example/events", "", true},
		{"default port", "https://app.example", "https://app.example:443/events", "", true},
		{"default port of http", "http://app.example:80", "http://app.example/events", "app.example:80", true},
		{"upper case", "https://app.example", "HTTPS://APP.example/events", "", true},
		{"international name", "https://bücher.example", "https://xn--bcher-kva.example/", "", true},
		{"address", "https://[::1]:8443", "https://[::1]:8443/", "", true},
		{"another scheme", "https://app.example", "http://app.example/events", "", false},
		{"another scheme, same port", "https://app.example", "http://app.example:443/events", "", false},
		{"another host", "https://app.example", "https://app.example.org/events", "", false},
		{"another port", "https://app.example", "https://app.example:8443/events", "", false},
		{"user information", "https://app.example", "https://app.example@evil.example/", "", false},
		{"another Host", "https://app.example", "https://app.example/events", "evil.example", false},
		{"no origin", "", "https://app.example/events", "", false},
		{"origin with a path", "https://app.example/v1", "https://app.example/v1/events", "", false},
		{"another protocol", "ftp://app.example", "ftp://app.example/", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent.Store(0)
			r := newRequest(t, "GET", test.url, nil)
			if test.host != "" {
				r.Host = test.host
			}
			res, err := (&signing.Transport{Credential: c, Origin: test.origin, Base: base}).RoundTrip(r)
			if err == nil {
				_ = res.Body.Close()
			}
			if good := err == nil; good != test.good || good != (sent.Load() == 1) {
				t.Errorf("want sent %t, found %d requests and the error %v", test.good, sent.Load(), err)
			}
		})
	}
}

// TestSignRefusesTargets checks that only request targets in origin form can be
// signed (RFC 9112, section 3.2.1).
func TestSignRefusesTargets(t *testing.T) {
	t.Parallel()
	c := newCredential(t, newAuthority(t))
	for name, change := range map[string]func(*http.Request){
		"CONNECT":   func(r *http.Request) { r.Method = "CONNECT" },
		"asterisk":  func(r *http.Request) { r.URL.Opaque = "*" },
		"absolute":  func(r *http.Request) { r.URL.Opaque = "//app.example/events" },
		"no URL":    func(r *http.Request) { r.URL = nil },
		"empty URL": func(r *http.Request) { r.URL = &url.URL{} },
		"no scheme": func(r *http.Request) { r.URL.Scheme = "" },
	} {
		r := newRequest(t, "GET", "https://app.example/events", nil)
		change(r)
		if _, err := (&signing.Transport{Credential: c, Origin: "https://app.example"}).Sign(r); err == nil {
			t.Errorf("%s: want an error, found none", name)
		}
	}
}

// TestRedirects checks that http.Client does not carry the credential to another
// origin, and that a redirect within the origin is signed again.
func TestRedirects(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	g := newGateway(t, ca).start()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("want no request to the other origin, found one")
	}))
	t.Cleanup(elsewhere.Close)
	g.handler = func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/moved":
			http.Redirect(w, r, "/events?x=1", http.StatusTemporaryRedirect)
		}
	}
	following := http.Client{Transport: g.transport(t, newCredential(t, ca))}
	if _, err := following.Do(newRequest(t, "POST", g.URL+"/away", strings.NewReader(event))); !errors.Is(err, signing.ErrOrigin) {
		t.Errorf("want %v, found %v", signing.ErrOrigin, err)
	}
	g.wantOne(t)
	res, err := following.Do(newRequest(t, "POST", g.URL+"/moved", strings.NewReader(event)))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if accepted, refused := g.requests(); len(accepted) != 2 || len(refused) != 0 || accepted[1].target != "/events?x=1" || accepted[1].body != event {
		t.Errorf("want two signed requests, found %d and %v", len(accepted), refused)
	}
}
