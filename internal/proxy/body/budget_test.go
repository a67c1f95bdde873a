package body

import (
	"math"
	"runtime/debug"
	"testing"
)

// TestDefaultBudget: held bodies take at most a quarter of the memory limit.
func TestDefaultBudget(t *testing.T) {
	for limit, want := range map[int64]int64{math.MaxInt64: 256 << 20, 2 << 30: 256 << 20, 400 << 20: 100 << 20} {
		before := debug.SetMemoryLimit(limit)
		have := DefaultBudget()
		debug.SetMemoryLimit(before)
		if have != want {
			t.Errorf("memory limit %d: budget %d, want %d", limit, have, want)
		}
	}
}

// TestBudgetShares: a client never holds more bytes than are free, so another client always
// finds some.
func TestBudgetShares(t *testing.T) {
	b := NewBudget(12)
	steps := []struct {
		client string
		n      int64
		want   bool
	}{
		{"mail", 13, false}, {"mail", 6, true}, {"mail", 1, false},
		{"social", 7, false}, {"social", 3, true}, {"social", 1, false},
		{"other", 4, false}, {"other", 1, true},
	}
	for _, s := range steps {
		if have := b.reserve(s.client, s.n); have != s.want {
			t.Errorf("%s reserves %d with %d in use: %t, want %t", s.client, s.n, b.Used(), have, s.want)
		}
	}
	b.release("mail", 6)
	b.release("social", 3)
	b.release("other", 1)
	if b.Used() != 0 || len(b.byClient) != 0 {
		t.Errorf("%d bytes of %d clients in use after the release, want none", b.Used(), len(b.byClient))
	}
}
