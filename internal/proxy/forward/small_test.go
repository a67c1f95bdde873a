package forward_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/forward"
)

// TestSmallBodyInOneWrite checks that net/http's transport writes a small body together with the
// header, and a longer one after it.
func TestSmallBodyInOneWrite(t *testing.T) {
	up, _, bodies := wholeRequests(t)
	for length, want := range map[int]int64{0: 1, 1: 1, forward.MaxSmall: 1, forward.MaxSmall + 1: 2} {
		t.Run(strconv.Itoa(length), func(t *testing.T) {
			f := forward.New(forward.Options{Pool: pool(up.Addr), Timeout: time.Minute, MaxBodyBytes: forward.MaxSmall + 1})
			defer f.Close()
			writes := f.CountWrites()
			g, err := grant(http.MethodPost, "/events")
			if err != nil {
				t.Fatal(err)
			}
			sent := strings.Repeat("x", length)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", strings.NewReader(sent))
			w := httptest.NewRecorder()
			result := f.Forward(w, r, f.Body(w, r), g, &hop)
			if result.Err != nil || result.BytesIn != int64(length) {
				t.Fatalf("result %+v, want %d bytes and no error", result, length)
			}
			if received := <-bodies; received != sent {
				t.Errorf("the upstream got %d bytes, want %d", len(received), length)
			}
			if n := writes.Load(); n != want {
				t.Errorf("%d writes, want %d", n, want)
			}
		})
	}
}
