package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/testkit/upstream"
)

// servers returns the settings of both server implementations by name.
func servers() map[string]map[string]string {
	return map[string]map[string]string{"fast": {"HTTP_FAST_PATH": "true"}, "net/http": {"HTTP_FAST_PATH": "false"}}
}

// refusedRequest has the common fields of a problem document and an audit line.
type refusedRequest struct {
	Reason    refusal.Reason `json:"reason"`
	Status    int            `json:"status"`
	RequestID string         `json:"request_id"`
	Method    string         `json:"method"`
	Path      string         `json:"path"`
}

// auditLine waits for the audit line of a request.
func (r *running) auditLine(t *testing.T, requestID string) (line refusedRequest) {
	t.Helper()
	eventually(t, "the audit line of "+requestID, func() bool {
		for text := range strings.Lines(r.log.String()) {
			if strings.Contains(text, `"msg":"request"`) && strings.Contains(text, requestID) {
				return json.Unmarshal([]byte(text), &line) == nil
			}
		}
		return false
	})
	return line
}

// TestEveryRequestIsAudited checks that a request that net/http refuses gets a problem
// document and an audit line, on a new connection and after another request.
func TestEveryRequestIsAudited(t *testing.T) {
	t.Parallel()
	before := map[string]string{
		"on a new connection":          "",
		"after a plain request":        "GET /first HTTP/1.1\r\nHost: h\r\n\r\n",
		"after a request for net/http": "GET /first HTTP/1.1\r\nHost:  h\r\nPragma: x\r\n\r\n",
	}
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("a", 500)
	tests := []struct {
		name, request string
		want          refusal.Reason
		method, path  string
	}{
		{"unknown expectation", "GET /a HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", refusal.ExpectationFailed, "GET", "/a"},
		{"unknown expectation, HTTP/1.0", "GET /a HTTP/1.0\r\nExpect: x\r\n\r\n", refusal.ExpectationFailed, "GET", "/a"},
		{"unknown expectation with a body", "POST /a HTTP/1.1\r\nHost: h\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello", refusal.ExpectationFailed, "POST", "/a"},
		{"empty first line", "\r\n\r\n", refusal.RequestMalformed, "", ""},
		{"empty first line, bare", "\n\n\n\n", refusal.RequestMalformed, "", ""},
		{"no request line", "garbage\r\n\r\n", refusal.RequestMalformed, "garbage", ""},
		{"TLS", hello + "\r\n\r\n", refusal.RequestMalformed, "", ""},
		{"first line without an end", "GET /" + strings.Repeat("a", 100<<10), refusal.CredentialTooLarge, "GET", ""},
		{"another version", "GET /a HTTP/3.0\r\nHost: h\r\n\r\n", refusal.RequestMalformed, "GET", "/a"},
		{"no host", "GET /a HTTP/1.1\r\n\r\n", refusal.RequestMalformed, "GET", "/a"},
		{"unknown transfer coding", "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", refusal.RequestAmbiguous, "POST", "/a"},
		{"NUL in a header", "GET /a HTTP/1.1\r\nHost: h\r\nX: \x00\r\n\r\n", refusal.RequestMalformed, "GET", "/a"},
	}
	for implementation, set := range servers() {
		t.Run(implementation, func(t *testing.T) {
			t.Parallel()
			r := start(t, load(t, "http://127.0.0.1:1", set))
			for _, tt := range tests {
				for when, first := range before {
					t.Run(tt.name+" "+when, func(t *testing.T) {
						res := r.refuse(t, first, tt.request)
						if res.Status != tt.want.Status() || res.Reason != tt.want {
							t.Fatalf("response %d %s, want %d %s", res.Status, res.Reason, tt.want.Status(), tt.want)
						}
						line := r.auditLine(t, res.RequestID)
						if line.Status != res.Status || line.Reason != tt.want {
							t.Errorf("audit line %+v, want %d %s", line, tt.want.Status(), tt.want)
						}
						if tt.path != "" && (line.Method != tt.method || line.Path != tt.path) || line.Path == "/first" {
							t.Errorf("audit line %+v, want it of %s %s", line, tt.method, tt.path)
						}
					})
				}
			}
		})
	}
}

// refuse sends a request after another one, if first is not empty, and returns the
// problem document of its response. It requires that the server closes the connection.
func (r *running) refuse(t *testing.T, first, request string) (found refusedRequest) {
	t.Helper()
	c := rawhttp.Dial(t, r.Addr().String())
	if first != "" {
		c.Send(first)
		c.Response(t, http.MethodGet)
	}
	c.Send(request)
	res := c.Response(t, http.MethodGet)
	if res.Err != nil || json.Unmarshal([]byte(res.Text), &found) != nil {
		t.Fatalf("status %d, %q, %v: want a problem document", res.StatusCode, res.Text, res.Err)
	}
	if res.StatusCode != found.Status || !res.Close {
		t.Errorf("status %d, close %t: want %d and the end", res.StatusCode, res.Close, found.Status)
	}
	return found
}

// TestChunkExtensions checks that a control character in a chunk extension makes the
// request malformed.
func TestChunkExtensions(t *testing.T) {
	up := upstream.Answering(t, func(*http.Request, string) string { return rawhttp.Empty })
	for implementation, set := range servers() {
		set["ACCESS_RULES"] = `rules: [{name: events, clients: [mail], allow: ["POST /events"]}]`
		r := start(t, load(t, "http://"+up.Addr, set))
		head := "POST /events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX-SSL-Auth: " + newCredentials(t).header + "\r\n\r\n"
		for _, body := range []string{
			"5;a\x00\r\nhello\r\n0\r\n\r\n", "5;\x00\r\nhello\r\n0\r\n\r\n", "5;a=\"\x7f\"\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0;a\x00\r\n\r\n", "5\r\nhello\r\n0;\x01\r\n\r\n",
			"5\x00\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\x00\r\n\r\n",
		} {
			t.Run(implementation+" "+body, func(t *testing.T) {
				res := r.refuse(t, "", head+body)
				if line := r.auditLine(t, res.RequestID); res.Reason != refusal.RequestMalformed || line.Reason != refusal.RequestMalformed || line.Status != http.StatusBadRequest {
					t.Errorf("response %+v, audit line %+v: want request_malformed", res, line)
				}
			})
		}
	}
}
