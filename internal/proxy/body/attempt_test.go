package body

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAttempts: a streamed body can be sent again only while no byte was read, and an
// attempt that was closed reads none.
func TestAttempts(t *testing.T) {
	r := &http.Request{Body: io.NopCloser(strings.NewReader("abc")), ContentLength: 3}
	b := New(nil, r, &Options{MaxBytes: 10})
	first, second := b.NewAttempt(), b.NewAttempt()
	_ = first.Close() // as the transport does after a failed dial
	if !b.Unread() {
		t.Error("Unread is false before the first Read")
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("the first attempt read %d bytes, %v", n, err)
	}
	if n, err := second.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("the second attempt read %d bytes, %v; want one", n, err)
	}
	if b.Unread() {
		t.Error("Unread is true after a byte was read")
	}
	_ = b.Close()
	if n, err := second.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("%d bytes read from a closed body, %v", n, err)
	}
}
