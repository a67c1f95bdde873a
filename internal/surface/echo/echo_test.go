package echo_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/surface/echo"
)

func newRequest(lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/certgate/echo/a%20b?c=hidden", http.NoBody)
	r.RemoteAddr = "192.0.2.1:4711"
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func TestDigest(t *testing.T) {
	r := newRequest("X-Certgate-Canary-Size: abc", "X-App-Cert: secret-credential", "X-Forwarded-For: 198.51.100.7", "X-Forwarded-For: 203.0.113.9",
		"Client-Cert: secret-certificate", "Signature: sig1=:AAAA:", "Authorization: Bearer secret-token", "X-Origin-Verify: 1234", "Cookie: a=1", "Cookie: b=2")
	have := echo.Digest(r, "X-App-Cert", "")
	want := echo.Response{
		Version: 1, Method: "GET", Protocol: "HTTP/1.1", Target: echo.Of("/certgate/echo/a%20b?c=hidden"), Peer: "192.0.2.1:4711",
		ForwardedFor: []string{"198.51.100.7", "203.0.113.9"},
		Headers: []echo.Header{
			{"Client-Cert", []echo.Value{echo.Of("secret-certificate")}},
			{"Signature", []echo.Value{echo.Of("sig1=:AAAA:")}},
			{"X-App-Cert", []echo.Value{echo.Of("secret-credential")}},
			{"X-Certgate-Canary-Size", []echo.Value{{3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}},
			// Headers that neither the doctor nor a client of the gateway sends have no digest.
			{"Authorization", []echo.Value{{Length: 19}}},
			{"Cookie", []echo.Value{{Length: 3}, {Length: 3}}},
			{"X-Forwarded-For", []echo.Value{{Length: 12}, {Length: 11}}},
			{"X-Origin-Verify", []echo.Value{{Length: 4}}},
		},
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("response %+v, want %+v", have, want)
	}
	text, err := json.Marshal(have)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hidden", "secret", "1234", "a=1"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("a value is in the response: %s", text)
		}
	}
}

func TestDigestIsBounded(t *testing.T) {
	r := newRequest("X-Certgate-Canary-Size: abc")
	for i := range 150 {
		r.Header.Set(fmt.Sprintf("A-%d", i), "x")
		r.Header.Add("X-Certgate-Canary-Many", "x")
	}
	a := echo.Digest(r)
	if len(a.Headers) != 100 || a.LeftOut != 52 {
		t.Errorf("%d headers and %d left out, want 100 and 52", len(a.Headers), a.LeftOut)
	}
	if n := len(a.Header("x-certgate-canary-many")); n != 100 {
		t.Errorf("%d lines of one header, want 100", n)
	}
	// The headers that the doctor compares must not be omitted.
	if a.Header(echo.CanaryPrefix+"-Size") == nil {
		t.Error("want the canary among many headers, found none")
	}
}
