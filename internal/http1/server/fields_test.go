//go:build linux

package server_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// fastWriter is the interface that package forward expects of the server's ResponseWriter.
type fastWriter interface {
	http.ResponseWriter
	WriteFields(status int, length int64, fields []client.Field)
	ReuseRequest()
}

const theDate = "Sun, 22 Nov 2026 08:00:00 GMT"

// whole returns the bytes of a response with its header lines sorted.
func whole(t *testing.T, bare bool, method string, h http.HandlerFunc) string {
	t.Helper()
	c := start(t, bare, options{}, h).dial()
	c.send(rawhttp.Lines(method+" / HTTP/1.1", "Host: h", "") + header("Connection: close", "X-Last: 1"))
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(all), "\r\n\r\n")
	sorted := strings.Split(head, "\r\n")
	slices.Sort(sorted)
	return strings.Join(sorted, "\n") + "\n\n" + rest
}

// TestWriteFields: the response equals the one that net/http sends for the same fields,
// and the connection can be used for another request after it.
func TestWriteFields(t *testing.T) {
	tests := []struct {
		name, method string
		status       int
		length       int64
		body         string
		closing      bool
	}{
		{"body", "GET", 200, 2, "hi", false},
		{"large body", "GET", 200, 100_000, strings.Repeat("x", 100_000), false},
		{"empty", "GET", 404, 0, "", false},
		{"head", "HEAD", 200, 2, "", false},
		{"no content", "GET", 204, 2, "", false},
		{"failed", "GET", 503, 2, "hi", false},
		{"closing", "GET", 200, 2, "hi", true},
		{"shorter than declared", "GET", 200, 3, "hi", false},
		{"longer than declared", "GET", 200, 1, "hi", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			handler := func(write func(w http.ResponseWriter)) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Last") != "" {
						w.Header().Set("Date", theDate)
						w.WriteHeader(299)
						return
					}
					if tt.closing {
						w.Header().Set("Connection", "close")
					}
					w.Header().Set("X-Before", "1")
					write(w)
					_, _ = io.WriteString(w, tt.body)
				}
			}
			have := whole(t, false, tt.method, handler(func(w http.ResponseWriter) {
				w.(fastWriter).WriteFields(tt.status, tt.length, []client.Field{
					{Name: "Date", Value: theDate}, {Name: "Set-Cookie", Value: "a"}, {Name: "Set-Cookie", Value: "b"},
					{Name: "X-Own", Value: "1"}, {Name: "X-Second", Value: "2"},
				})
				w.Header().Set("X-Late", "1")
				w.WriteHeader(http.StatusTeapot)
			}))
			want := whole(t, true, tt.method, handler(func(w http.ResponseWriter) {
				h := w.Header()
				h["Date"], h["Set-Cookie"], h["X-Own"], h["X-Second"] = []string{theDate}, []string{"a", "b"}, []string{"1"}, []string{"2"}
				h["Content-Type"], h["Content-Length"] = nil, []string{fmt.Sprint(tt.length)}
				w.WriteHeader(tt.status)
			}))
			if have != want {
				t.Errorf("the client gets\n%.500s\nwant\n%.500s", have, want)
			}
		})
	}
}

// TestWriteFieldsLate: WriteFields has no effect after WriteHeader.
func TestWriteFieldsLate(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		w.(fastWriter).WriteFields(http.StatusOK, 5, []client.Field{{Name: "X-A", Value: "b"}, {Name: "X-Own", Value: "1"}})
	})
	h := r.dial().send(rawhttp.Lines("GET / HTTP/1.1", "Host: h", "")).want(http.StatusTeapot, "")
	if h["X-A"] != nil || h["X-Own"] != nil {
		t.Errorf("header %v, want nothing of the second response", h)
	}
}

// TestWriteFieldsKeepsLines: a value cannot end the line of its field.
func TestWriteFieldsKeepsLines(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.(fastWriter).WriteFields(http.StatusOK, 0, []client.Field{{Name: "X-Own", Value: "a\r\nX-Evil: b"}, {Name: "X-Second", Value: "a\nX-Evil: b"}})
	})
	h := r.dial().send(rawhttp.Lines("GET / HTTP/1.1", "Host: h", "")).want(http.StatusOK, "")
	if h["X-Evil"] != nil || h.Get("X-Own") != "a  X-Evil: b" || h.Get("X-Second") != "a X-Evil: b" {
		t.Errorf("header %v, want the value on one line", h)
	}
}
