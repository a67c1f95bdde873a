//go:build linux

package server_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strconv"
	"testing"
)

// TestLargeWrite: a body that is written with one call arrives unchanged, although the socket
// does not accept header and body at once.
func TestLargeWrite(t *testing.T) {
	t.Parallel()
	content := make([]byte, 16<<20)
	for i := range content {
		content[i] = byte(i ^ i>>8 ^ i>>16)
	}
	for name, header := range map[string]http.Header{
		"length": {"Content-Type": {"application/octet-stream"}, "Content-Length": {strconv.Itoa(len(content))}},
		"chunks": {"Content-Type": {"application/octet-stream"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, false, options{}, func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), header)
				_, _ = w.Write(content)
			})
			c := r.dial().send(get("/"))
			res, err := http.ReadResponse(c.Reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || !bytes.Equal(body, content) {
				t.Errorf("%d bytes, %v: want the %d bytes that were written", len(body), err, len(content))
			}
		})
	}
}
