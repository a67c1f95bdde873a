package tracecontext

import (
	"regexp"
	"strings"
	"testing"
)

const (
	trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	span  = "00f067aa0ba902b7"
)

func TestParse(t *testing.T) {
	found, sampled := Parent{TraceID: trace, SpanID: span}, Parent{TraceID: trace, SpanID: span, Sampled: true}
	tests := []struct {
		name   string
		values []string
		want   Parent
	}{
		{"sampled", []string{"00-" + trace + "-" + span + "-01"}, sampled},
		{"not sampled", []string{"00-" + trace + "-" + span + "-00"}, found},
		{"unknown flags and sampled", []string{"00-" + trace + "-" + span + "-ff"}, sampled},
		{"unknown flags, not sampled", []string{"00-" + trace + "-" + span + "-fe"}, found},
		{"later version", []string{"cc-" + trace + "-" + span + "-01"}, sampled},
		{"later version with more parts", []string{"cc-" + trace + "-" + span + "-01-what-the-future-will-be-like"}, sampled},
		{"later version with an empty part", []string{"cc-" + trace + "-" + span + "-01-"}, sampled},

		{"no field", nil, Parent{}},
		{"empty", []string{""}, Parent{}},
		{"two fields", []string{"00-" + trace + "-" + span + "-01", "00-" + trace + "-" + span + "-01"}, Parent{}},
		{"two values in one field", []string{"00-" + trace + "-" + span + "-01,00-" + trace + "-" + span + "-01"}, Parent{}},
		{"version ff", []string{"ff-" + trace + "-" + span + "-01"}, Parent{}},
		{"version with a letter beyond f", []string{"0g-" + trace + "-" + span + "-01"}, Parent{}},
		{"version in upper case", []string{"CC-" + trace + "-" + span + "-01"}, Parent{}},
		{"version 00 with more parts", []string{"00-" + trace + "-" + span + "-01-more"}, Parent{}},
		{"version 00 with a trailing dash", []string{"00-" + trace + "-" + span + "-01-"}, Parent{}},
		{"later version with more flags", []string{"cc-" + trace + "-" + span + "-01.more"}, Parent{}},
		{"trace id of zeros", []string{"00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, Parent{}},
		{"span id of zeros", []string{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01"}, Parent{}},
		{"trace id in upper case", []string{"00-" + strings.ToUpper(trace) + "-" + span + "-01"}, Parent{}},
		{"span id in upper case", []string{"00-" + trace + "-" + strings.ToUpper(span) + "-01"}, Parent{}},
		{"trace id with another character", []string{"00-" + trace[:31] + "\"-" + span + "-01"}, Parent{}},
		{"span id with another character", []string{"00-" + trace + "-" + span[:15] + "\n-01"}, Parent{}},
		{"flags with another character", []string{"00-" + trace + "-" + span + "-0x"}, Parent{}},
		{"flags in upper case", []string{"00-" + trace + "-" + span + "-0B"}, Parent{}},
		{"short trace id", []string{"00-" + trace[:31] + "-" + span + "-011"}, Parent{}},
		{"without flags", []string{"00-" + trace + "-" + span}, Parent{}},
		{"one digit of flags", []string{"00-" + trace + "-" + span + "-0"}, Parent{}},
		{"space before", []string{" 00-" + trace + "-" + span + "-01"}, Parent{}},
		{"space after", []string{"00-" + trace + "-" + span + "-01 "}, Parent{}},
		{"underscore before the trace id", []string{"00_" + trace + "-" + span + "-01"}, Parent{}},
		{"underscore before the span id", []string{"00-" + trace + "_" + span + "-01"}, Parent{}},
		{"underscore before the flags", []string{"00-" + trace + "-" + span + "_01"}, Parent{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if have := Parse(tt.values); have != tt.want {
				t.Errorf("%q: %+v, want %+v", tt.values, have, tt.want)
			}
		})
	}
}

// TestParseAllocatesNothing checks that a request with a traceparent costs no memory.
func TestParseAllocatesNothing(t *testing.T) {
	values := []string{"00-" + trace + "-" + span + "-01"}
	if n := testing.AllocsPerRun(100, func() { Parse(values) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzParse checks that Parse accepts exactly the values that the grammar of the standard
// allows, and that Format writes a value that Parse reads as the same parent.
func FuzzParse(f *testing.F) {
	f.Add("00-" + trace + "-" + span + "-01")
	f.Add("cc-" + trace + "-" + span + "-01-more")
	f.Add("ff-" + trace + "-" + span + "-00")
	f.Add("00-" + strings.Repeat("0", 32) + "-" + span + "-00")
	f.Add("00-" + trace + "-" + span + "-01\n")
	grammar := regexp.MustCompile(`\A(?:00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}|[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-(?s:.*))?)\z`)
	f.Fuzz(func(t *testing.T, value string) {
		have := Parse([]string{value})
		parts := grammar.FindStringSubmatch(value)
		valid := parts != nil && !strings.HasPrefix(value, "ff")
		if valid && strings.HasPrefix(value, "00") {
			valid = len(value) == length
		}
		if valid {
			valid = strings.Trim(value[3:35], "0") != "" && strings.Trim(value[36:52], "0") != ""
		}
		if valid != (have != Parent{}) {
			t.Fatalf("%q: %+v, want valid %t", value, have, valid)
		}
		if !valid {
			return
		}
		if have.TraceID != value[3:35] || have.SpanID != value[36:52] {
			t.Errorf("%q: %+v, want the ids of the value", value, have)
		}
		if again := Parse([]string{Format(have)}); again != have {
			t.Errorf("%q: %+v, after Format %+v", value, have, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct {
		name   string
		values []string
	}{{"none", nil}, {"valid", []string{"00-" + trace + "-" + span + "-01"}}, {"invalid", []string{"00-" + trace + "-" + span + "-0x"}}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Parse(bb.values)
			}
		})
	}
}
