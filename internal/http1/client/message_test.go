package client

import (
	"fmt"
	"net/http"
	"testing"
)

// TestMessageField: a field that could end its line, end the header or frame the message
// is refused.
func TestMessageField(t *testing.T) {
	tests := []struct {
		name, value string
		ok          bool
	}{
		{"X-A", "b", true},
		{"X-A", "", true},
		{"X-A", "b\tc \x80", true},
		{"", "b", false},
		{"X A", "b", false},
		{"X-A:", "b", false},
		{"X-A\r\nX-B", "b", false},
		{"X-A", "b\r\nX-B: c", false},
		{"X-A", "b\nX-B: c", false},
		{"X-A", "b\r", false},
		{"X-A", "b\x00", false},
		{"X-A", "\r\n\r\nHTTP/1.1 200 OK", false},
		{"Content-Length", "1", false},
		{"Transfer-Encoding", "chunked", false},
		{"Host", "b", false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%q %q", tt.name, tt.value), func(t *testing.T) {
			var m Request
			m.Begin(http.MethodGet, "/", "h")
			m.Field("X-First", "1")
			m.Field(tt.name, tt.value)
			m.Field("X-Last", "2")
			m.End()
			if (m.err == nil) != tt.ok {
				t.Fatalf("error %v, want one: %t", m.err, !tt.ok)
			}
			want := "GET / HTTP/1.1\r\nHost: h\r\nX-First: 1\r\n" + tt.name + ": " + tt.value + "\r\nX-Last: 2\r\n\r\n"
			if tt.ok && string(m.wire) != want {
				t.Errorf("message %q, want %q", m.wire, want)
			}
		})
	}
}
