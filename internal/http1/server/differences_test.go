//go:build linux

package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ignoreDifferences removes the differences that README.md of http1 lists as those that a
// client sees:
//
//   - A response that the handler aborted may be cut off anywhere. It must not look complete.
//   - net/http reads the unread rest of a body before it writes the header of the response,
//     and announces there that the connection ends if that failed. The fast path writes the
//     response first. So the last response may lack a "Connection: close" when its request
//     had a body.
//   - Package framing takes net/http's refusal for a part of a handler's response, and lets it
//     pass, when no request line was read since that handler. A connection that was handed
//     off has had no handler yet.
//   - net/http allows the header of a later request to be longer than that of the first one,
//     by what it had read ahead. A request that was handed off is the first one to net/http.
func ignoreDifferences(with, without *outcome) {
	for i, a := range without.Responses {
		if i < len(with.Responses) && a.Close && strings.HasPrefix(a.Body, fmt.Sprint(a.Status)) && with.Responses[i].Body == "" {
			without.Responses[i] = refused(a.Status)
		}
	}
	tooLong(with, without)
	n := len(without.Seen)
	if n == 0 || n != len(with.Seen) {
		return
	}
	last := without.Seen[n-1]
	if aborting[last.URL.Path] {
		aborted(with, n)
		aborted(without, n)
		return
	}
	finalWith, finalWithout := final(with, n), final(without, n)
	if last.Length > 0 && finalWith != nil && finalWithout != nil && finalWithout.Close {
		finalWith.Close = true
	}
}

// tooLong shortens the outcome of net/http where the fast path's connection ended in a header
// that was too long for a first request.
func tooLong(with, without *outcome) {
	n, last := len(with.Seen), len(with.Responses)-1
	if last < 0 || n >= len(without.Seen) || last >= len(without.Responses) || with.Responses[last].Status != http.StatusRequestHeaderFieldsTooLarge {
		return
	}
	size := 0
	for name, values := range without.Seen[n].Header {
		size += len(values) * len(name)
		for _, v := range values {
			size += len(": \r\n") + len(v)
		}
	}
	if size > maxHeader {
		without.Seen = without.Seen[:n]
		without.Responses = append(slices.Clone(without.Responses[:last]), refused(http.StatusRequestHeaderFieldsTooLarge))
		without.Rest = ""
	}
}

// refused returns the response of refuse.
func refused(status int) received {
	return received{Status: status, Header: http.Header{"Content-Length": {"0"}}, Close: true}
}

// final returns the response to the nth request if it is the last one.
func final(o *outcome, n int) *received {
	i := slices.IndexFunc(o.Responses, func(a received) bool {
		if a.Status >= 200 {
			n--
		}
		return n == 0
	})
	if i < 0 || i != len(o.Responses)-1 || o.Rest != "" {
		return nil
	}
	return &o.Responses[i]
}

// aborted removes the nth response if it is incomplete, and the bytes after it.
func aborted(o *outcome, n int) {
	o.Rest = ""
	head := o.Seen[n-1].Method == http.MethodHead // its response has no end that could be missing
	if a := final(o, n); a != nil && (head || a.BodyEnd != "") {
		o.Responses = slices.Clone(o.Responses[:len(o.Responses)-1])
	}
	if len(o.Responses) == 0 {
		o.Responses = nil
	}
}
