package headers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/headers"
)

func TestParseConnection(t *testing.T) {
	tests := []struct {
		name     string
		values   []string
		listed   []string
		unlisted []string
	}{
		{"no field", nil, nil, []string{"", "X-A", "Close"}},
		{"keep-alive", []string{"keep-alive"}, nil, []string{"X-A"}},
		{"one option", []string{"X-A"}, []string{"X-A", "x-a", "X_A"}, []string{"X-B", "X-A-"}},
		{"several options", []string{"close, X-A,\tX-B ", "X-C"}, []string{"X-A", "X-B", "X-C", "Close"}, []string{"X-D", "X-A, X-B"}},
		{"empty elements", []string{",,X-A,,"}, []string{"X-A"}, []string{"X-B"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := headers.ParseConnection(tt.values)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range append(slices.Clone(tt.listed), tt.unlisted...) {
				if have, want := o.List(name), slices.Contains(tt.listed, name); have != want {
					t.Errorf("%q listed: %t, want %t", name, have, want)
				}
			}
		})
	}
}

// TestConnectionBound checks that the number of elements is bounded over all fields, and
// that the number of allocations does not grow with it.
func TestConnectionBound(t *testing.T) {
	repeated := func(n int) []string { return slices.Repeat([]string{"close"}, n) }
	const most = headers.MaxConnectionOptions
	for name, tt := range map[string]struct {
		values []string
		ok     bool
	}{
		"the limit":                       {[]string{strings.Repeat("x,", most-1) + "x"}, true},
		"one above the limit":             {[]string{strings.Repeat("x,", most) + "x"}, false},
		"empty, above the limit":          {[]string{strings.Repeat("x,", most)}, false},
		"commas":                          {[]string{strings.Repeat(",", 25000)}, false},
		"the limit, one per field":        {repeated(most), true},
		"one field above the limit":       {repeated(most + 1), false},
		"above the limit over two fields": {[]string{strings.Repeat("x,", most/2), strings.Repeat("x,", most/2)}, false},
	} {
		_, err := headers.ParseConnection(tt.values)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v, want it accepted: %t", name, err, tt.ok)
		}
	}
	hostile := []string{strings.Repeat(",", 25000)}
	if n := testing.AllocsPerRun(10, func() { headers.ParseConnection(hostile) }); n > 8 {
		t.Errorf("%v allocations to refuse 25,000 options, want a few", n)
	}
}
