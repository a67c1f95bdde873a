package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/denial"
)

// TestRefusedAsHTTP: what net/http refuses before any handler is answered and
// recorded like every other refusal, and nothing of it is forwarded.
func TestRefusedAsHTTP(t *testing.T) {
	w := newWorld(t)
	good := "X-SSL-Auth: " + encode(w.mail)
	tests := []struct {
		name    string
		request string
		want    denial.Reason
		path    string // in the record
	}{
		{"NUL in the path", request("GET /events/\x00 HTTP/1.1", good), denial.PathAmbiguous, `/events/\x00`},
		{"control character in the path", request("GET /events/\x01 HTTP/1.1", good), denial.PathAmbiguous, `/events/\x01`},
		{"DEL in the path", request("GET /events/\x7f HTTP/1.1", good), denial.PathAmbiguous, `/events/\x7f`},
		{"space in the path", request("GET /events/ x HTTP/1.1", good), denial.PathAmbiguous, "/events/ x"},
		{"escape without hex", request("GET /events/%zz HTTP/1.1", good), denial.PathAmbiguous, "/events/%zz"},
		{"escape cut", request("GET /events/% HTTP/1.1", good), denial.PathAmbiguous, "/events/%"},
		{"no slash", request("GET events HTTP/1.1", good), denial.PathAmbiguous, "events"},
		{"NUL in the query", request("GET /events/?\x00 HTTP/1.1", good), denial.PathAmbiguous, "/events/"},
		{"space before the colon", request("GET /events/ HTTP/1.1", good, "X-A : b"), denial.RequestMalformed, "/events/"},
		{"NUL in a value", request("GET /events/ HTTP/1.1", good, "X-A: \x00"), denial.RequestMalformed, "/events/"},
		{"two hosts", request("GET /events/ HTTP/1.1", good, "Host: other"), denial.RequestMalformed, "/events/"},
		{"unknown version", request("GET /events/ HTTP/9.1", good), denial.RequestMalformed, "/events/"},
		{"unknown coding", request("POST /events HTTP/1.1", good, "Transfer-Encoding: gzip"), denial.RequestAmbiguous, "/events"},
		{"two lengths", request("POST /events HTTP/1.1", good, "Content-Length: 1", "Content-Length: 2"), denial.RequestAmbiguous, "/events"},
		{"a header beyond every limit", request("GET /events/ HTTP/1.1", "X-SSL-Auth: M"+strings.Repeat("I", 2<<20)), denial.CredentialTooLarge, "/events/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			res := b.ask(t, tt.request)
			wantProblem(t, res, tt.want)
			if !res.Close {
				t.Error("want the connection closed")
			}
			if n := b.forwarded(); n != 0 {
				t.Errorf("%d requests forwarded, want none", n)
			}
			r := b.record(t)
			if r["reason"] != string(tt.want) || r["decision"] != "refused" || r["path"] != tt.path ||
				r["request_id"] != res.Header.Get("X-Request-Id") || r["source"] != "127.0.0.1" {
				t.Errorf("record %v: want reason %s, path %s and the answer's id", r, tt.want, tt.path)
			}
		})
	}
}

// The second request of a connection is refused like the first.
func TestRefusedAsHTTPOnAnOpenConnection(t *testing.T) {
	w := newWorld(t)
	b := newBench(t, nil)
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(c)
	for _, tt := range []struct {
		request string
		status  int
	}{
		{request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+encode(w.mail)), http.StatusOK},
		{request("GET /events/\x00 HTTP/1.1"), http.StatusBadRequest},
	} {
		if _, err := io.WriteString(c, tt.request); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != tt.status {
			t.Fatalf("status %d, %v: want %d", res.StatusCode, err, tt.status)
		}
		if tt.status == http.StatusBadRequest && !strings.Contains(string(body), string(denial.PathAmbiguous)) {
			t.Errorf("body %q: want the problem path_ambiguous", body)
		}
	}
	if all := b.lines(t); len(all) != 2 || all[1]["reason"] != string(denial.PathAmbiguous) {
		t.Errorf("log %v: want a record of each request", all)
	}
}
