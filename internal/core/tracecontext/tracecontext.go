// Package tracecontext reads and writes the traceparent field of W3C Trace Context
// (https://www.w3.org/TR/trace-context-1/).
//
// The field identifies the caller's span, which becomes the parent of the spans for the
// request. The client chooses the value, so it proves nothing. The ids of a valid value
// consist of lower-case hex digits and can be logged without escaping.
package tracecontext

// Lengths of the ids and of a traceparent of version 00, in hex digits and in bytes.
const (
	TraceIDLength = 32
	SpanIDLength  = 16

	length = len("00-") + TraceIDLength + len("-") + SpanIDLength + len("-00")
)

// Positions of the parts in a traceparent.
const (
	traceID = len("00-")
	spanID  = traceID + TraceIDLength + len("-")
	flags   = spanID + SpanIDLength + len("-")
)

// sampled is the flag in the last hex digit of a traceparent whose caller records its trace.
const sampled = 1

// Parent is the span of the caller. The zero value means that the request identifies none.
// The ids are parts of the header value and share its memory.
type Parent struct {
	TraceID string // 32 lower-case hex digits
	SpanID  string // 16 lower-case hex digits
	// Sampled reports whether the caller records the trace.
	Sampled bool
}

// Parse returns the parent in the values of all traceparent fields of a request. It returns
// the zero value unless there is exactly one field with a valid value: a version other than
// ff, ids that are not all zeros, and only lower-case hex digits (section 3.2.2). A value of
// a later version than 00 may have more parts, which Parse ignores (section 4.3). Parse
// allocates no memory.
func Parse(values []string) Parent {
	if len(values) != 1 || !isWellFormed(values[0]) {
		return Parent{}
	}
	v := values[0]
	p := Parent{TraceID: v[traceID : spanID-1], SpanID: v[spanID : flags-1], Sampled: digit(v[length-1])&sampled != 0}
	if isZero(p.TraceID) || isZero(p.SpanID) {
		return Parent{}
	}
	return p
}

// Format returns the traceparent of version 00 for a span. The ids must have the form that
// [Parent] describes.
func Format(p Parent) string {
	if p.Sampled {
		return "00-" + p.TraceID + "-" + p.SpanID + "-01"
	}
	return "00-" + p.TraceID + "-" + p.SpanID + "-00"
}

// isWellFormed reports whether a value has the parts of a traceparent.
func isWellFormed(v string) bool {
	if len(v) < length || v[:2] == "ff" || v[traceID-1] != '-' || v[spanID-1] != '-' || v[flags-1] != '-' {
		return false
	}
	if len(v) > length && (v[:2] == "00" || v[length] != '-') {
		return false
	}
	return isHex(v[:2]) && isHex(v[traceID:spanID-1]) && isHex(v[spanID:flags-1]) && isHex(v[flags:length])
}

func isHex(s string) bool {
	for i := range len(s) {
		if digit(s[i]) < 0 {
			return false
		}
	}
	return true
}

// digit returns the value of a lower-case hex digit, and -1 for any other byte.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	default:
		return -1
	}
}

func isZero(id string) bool {
	for i := range len(id) {
		if id[i] != '0' {
			return false
		}
	}
	return true
}
