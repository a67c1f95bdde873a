package framing_test

import (
	"slices"
	"testing"
)

// FuzzStream compares net/http on a Conn with net/http alone: the requests are the same up to
// a point, every ambiguous request is reported, and no request follows it.
func FuzzStream(f *testing.F) {
	for _, group := range [][]streamCase{clearCases, ambiguousCases, brokenCases, refusedCases} {
		for _, tt := range group {
			f.Add([]byte(tt.stream+probe), uint8(7), uint8(200))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, size1, size2 uint8) {
		if len(stream) > 16<<10 {
			t.Skip("too long to be of interest")
		}
		with := requests(inPieces(stream, int(size1), int(size2)), true)
		checkPrefix(t, with, requests([][]byte{stream}, false))
		checkAmbiguity(t, with, heads(stream))
		if have, want := show(with), show(requests([][]byte{stream}, true)); !slices.Equal(have, want) {
			t.Errorf("other reads, other requests: %q, want %q", have, want)
		}
	})
}

// checkPrefix checks that a Conn shows a prefix of the requests that net/http alone reads.
func checkPrefix(t *testing.T, with, without []seen) {
	t.Helper()
	if len(with) > len(without) {
		t.Fatalf("a watched connection shows more: %q, not %q", show(with), show(without))
	}
	for i, s := range with {
		plain := without[i]
		last := i == len(with)-1
		if s.method != plain.method || s.target != plain.target {
			t.Fatalf("request %d is %q, want %q", i, show(with), show(without))
		}
		if s.body != plain.body && !(last && s.broken) {
			t.Fatalf("request %d has another body: %q, want %q", i, show(with), show(without))
		}
		if s.broken != plain.broken && !(last && s.broken) {
			t.Fatalf("request %d: the body's end differs: %q, want %q", i, show(with), show(without))
		}
	}
	if n := len(with); n < len(without) && (n == 0 || !with[n-1].broken && !with[n-1].ambiguous) {
		t.Fatalf("the connection ended without a reason: %q, want %q", show(with), show(without))
	}
}

func checkAmbiguity(t *testing.T, with []seen, raw []head) {
	t.Helper()
	for i, s := range with {
		if i >= len(raw) {
			t.Fatalf("request %d of %q: not found in the stream", i, show(with))
		}
		h := raw[i]
		must := h.lengths+h.codings > 1 || h.version10 && h.codings > 0
		if must && !s.ambiguous {
			t.Fatalf("request %d of %q is not ambiguous, but has %+v", i, show(with), h)
		}
		if s.ambiguous && !must && !h.long {
			t.Fatalf("request %d of %q is ambiguous, but has %+v", i, show(with), h)
		}
		if s.ambiguous && i < len(with)-1 {
			t.Fatalf("want no request after an ambiguous one, found %q", show(with))
		}
	}
}
