//go:build linux

package server_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/testkit/rawhttp"
)

// fields returns the field lines of the response to a GET, sorted and without the date.
func fields(t *testing.T, handler http.HandlerFunc) (status string, all []string, body string) {
	t.Helper()
	r := start(t, false, options{}, handler)
	c := r.dial().send(rawhttp.Lines("GET / HTTP/1.1", "Host: h", "") + header("Connection: close"))
	raw, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), "HTTP/1.1 299 ") // the second request's
	head, body, _ := strings.Cut(first, "\r\n\r\n")
	status, head, _ = strings.Cut(head, "\r\n")
	s := bufio.NewScanner(strings.NewReader(head))
	for s.Scan() {
		if !strings.HasPrefix(s.Text(), "Date:") {
			all = append(all, s.Text())
		}
	}
	return status, all, body
}

// TestFlushWithoutBody: a response that has no body gets none when the handler flushes it.
func TestFlushWithoutBody(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		for kind, bare := range both {
			t.Run(fmt.Sprint(status, kind), func(t *testing.T) {
				r := start(t, bare, options{}, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					w.(http.Flusher).Flush()
				})
				c := r.dial().send(get("/") + get("/"))
				for range 2 {
					if h := c.want(status, ""); h.Get("Content-Length") != "" {
						t.Errorf("header %v, want no length", h)
					}
				}
			})
		}
	}
}

// TestNoSplitting: no header of a handler can add lines or responses.
func TestNoSplitting(t *testing.T) {
	evils := []string{"a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: 1\r\n\r\n", "a\x00b"}
	for _, evil := range evils {
		_, have, _ := fields(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Connection") != "" {
				w.WriteHeader(299)
				return
			}
			w.Header()["X-Value"] = []string{evil, evil}
			w.Header()[evil] = []string{"name"}
			w.Header()["Content-Type"] = []string{evil}
			w.Header()["Connection"] = []string{evil}
			w.Header()["Transfer-Encoding"] = []string{evil}
			w.Header()["Content-Length"] = []string{evil}
			w.Header()["Trailer"] = []string{evil}
			w.WriteHeader(http.StatusOK)
		})
		for _, line := range have {
			name, _, _ := strings.Cut(line, ":")
			switch name {
			case "X-Value", "Content-Type", "Content-Length":
			default:
				t.Errorf("%q made the line %q", evil, line)
			}
			if strings.ContainsAny(line, "\r\n\x00") {
				t.Errorf("%q made the line %q", evil, line)
			}
		}
		if len(have) != 4 {
			t.Errorf("%q made %q, want two values, a type and a length", evil, have)
		}
	}
}

// TestFraming: of the handler's fields only Content-Length has an effect on the framing.
func TestFraming(t *testing.T) {
	tests := []struct {
		name   string
		fields map[string][]string
		want   string
	}{
		{"none", nil, "Content-Length: 2"},
		{"a length", map[string][]string{"Content-Length": {"2"}}, "Content-Length: 2"},
		{"two lengths", map[string][]string{"Content-Length": {"2", "3"}}, "Content-Length: 2"},
		{"two lengths, the wrong one first", map[string][]string{"Content-Length": {"3", "2"}}, "Content-Length: 2"},
		{"twice the same", map[string][]string{"Content-Length": {"2", "2"}}, "Content-Length: 2"},
		{"no number", map[string][]string{"Content-Length": {"x"}}, "Content-Length: 2"},
		{"a sign", map[string][]string{"Content-Length": {"+2"}}, "Content-Length: 2"},
		{"negative", map[string][]string{"Content-Length": {"-1"}}, "Content-Length: 2"},
		{"chunked", map[string][]string{"Transfer-Encoding": {"chunked"}}, "Content-Length: 2"},
		{"identity", map[string][]string{"Transfer-Encoding": {"identity"}}, "Content-Length: 2"},
		{"both", map[string][]string{"Transfer-Encoding": {"chunked"}, "Content-Length": {"2"}}, "Content-Length: 2"},
		{"keep-alive", map[string][]string{"Connection": {"keep-alive"}}, "Content-Length: 2"},
		{"a trailer", map[string][]string{"Trailer": {"X"}, http.TrailerPrefix + "X": {"y"}}, "Content-Length: 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, have, body := fields(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Connection") != "" {
					w.WriteHeader(299)
					return
				}
				maps.Copy(w.Header(), tt.fields)
				w.Header()["Content-Type"] = nil
				fmt.Fprint(w, "ok")
			})
			if len(have) != 1 || have[0] != tt.want || body != "ok" {
				t.Errorf("fields %q and body %q, want %q and %q", have, body, tt.want, "ok")
			}
		})
	}
}

// TestPanic: a panic is logged and ends the connection. Parts of the response that were not
// sent do not appear in another one.
func TestPanic(t *testing.T) {
	for kind, bare := range both {
		t.Run(kind, func(t *testing.T) {
			r := start(t, bare, options{}, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/panic":
					w.Header().Set("X-Secret", "secret")
					fmt.Fprint(w, "secret")
					panic("on purpose")
				case "/abort":
					w.Header().Set("X-Secret", "secret")
					fmt.Fprint(w, "secret")
					panic(http.ErrAbortHandler)
				}
			})
			for _, target := range []string{"/abort", "/panic"} {
				c := r.dial().send(get("/") + get(target) + get("/"))
				c.want(200, "")
				c.wantGone()
				if h := r.dial().send(get("/")).want(200, ""); h.Get("X-Secret") != "" {
					t.Error("the next response has the field of the one before")
				}
				if logged := strings.Contains(r.log.String(), "panic serving"); logged != (target == "/panic") {
					t.Errorf("%s: log %q", target, r.log)
				}
			}
			if log := r.log.String(); !strings.Contains(log, "on purpose") || !strings.Contains(log, "127.0.0.1:") {
				t.Errorf("log %q, want the panic and the client in it", log)
			}
		})
	}
}

// TestResponsesAreIndependent: fields and body of a response do not appear in the next one on the
// connection.
func TestResponsesAreIndependent(t *testing.T) {
	r := start(t, false, options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			w.Header().Set("X-First", "1")
			w.Header().Set("Content-Length", "3")
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, "abc")
			return
		}
		fmt.Fprint(w, "x")
		w.(http.Flusher).Flush()
		fmt.Fprint(w, "y")
	})
	c := r.dial()
	for range 3 {
		c.send(get("/first") + get("/second"))
		if h := c.want(202, "abc"); h.Get("X-First") != "1" {
			t.Errorf("fields %v, want X-First", h)
		}
		if h := c.want(200, "xy"); h.Get("X-First") != "" || h.Get("Content-Length") != "" {
			t.Errorf("fields %v, want none of the previous response", h)
		}
	}
}
