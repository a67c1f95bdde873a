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

// arrivals is a client's body that can be read without waiting.
type arrivals struct {
	io.ReadCloser
	parts []string // the results of ReadArrived; "" for nothing
}

func (a *arrivals) ReadArrived(p []byte) (int, error) {
	n := copy(p, a.parts[0])
	a.parts = a.parts[1:]
	return n, nil
}

// TestReadArrived: bytes that are read without waiting count, and are bounded, as all others.
func TestReadArrived(t *testing.T) {
	body := &arrivals{parts: []string{"abc", "", "defgh"}}
	b := New(nil, &http.Request{Body: body, ContentLength: -1}, &Options{MaxBytes: 7})
	p := make([]byte, 10)
	for _, want := range []int{3, 0} {
		if n, err := b.ReadArrived(p); n != want || err != nil {
			t.Errorf("%d bytes, %v; want %d", n, err, want)
		}
	}
	if n := b.BytesRead(); n != 3 {
		t.Errorf("%d bytes are counted, want 3", n)
	}
	if n, err := b.ReadArrived(p); n != 0 || !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes over the limit, %v; want %v", n, err, errTooLarge)
	}
	if n, err := b.ReadArrived(p); n != 0 || !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes after the end, %v; want %v", n, err, errTooLarge)
	}
	closed := New(nil, &http.Request{Body: body, ContentLength: 1}, &Options{MaxBytes: 7})
	_ = closed.Close()
	if n, err := closed.ReadArrived(p); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("%d bytes of a closed body, %v", n, err)
	}
	other := New(nil, &http.Request{Body: io.NopCloser(strings.NewReader("a")), ContentLength: 1}, &Options{MaxBytes: 7})
	if n, err := other.ReadArrived(p); n != 0 || err != nil {
		t.Errorf("%d bytes of another reader, %v; want 0", n, err)
	}
}
