package simulation_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// compressed returns the text compressed by gzip, in two members as after concatenating files.
func compressed(tb testing.TB, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
		w := gzip.NewWriter(&b)
		if _, err := io.WriteString(w, part); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Bytes()
}

// TestReadLog checks which lines are requests, and that other lines are counted by kind.
func TestReadLog(t *testing.T) {
	t.Parallel()
	const request = `{"msg":"request","request_id":"a","decision":"allowed"}`
	tests := []struct {
		name, log string
		requests  int
		skipped   simulation.Skipped
	}{
		{"empty", "", 0, simulation.Skipped{}},
		{"empty lines", "\n\r\n  \n", 0, simulation.Skipped{}},
		{"a request", request + "\n", 1, simulation.Skipped{}},
		{"the last line without its end", request + "\n" + request, 2, simulation.Skipped{}},
		{"CRLF", request + "\r\n" + request + "\r\n", 2, simulation.Skipped{}},
		{"another message", `{"msg":"reloaded"}`, 0, simulation.Skipped{Other: 1}},
		{"another program's request", `{"msg":"request","status":200}`, 0, simulation.Skipped{Other: 1}},
		{"JSON values", "1\n\"request\"\nnull\n[{}]\n", 0, simulation.Skipped{Other: 4}},
		{"other text", "starting\n{\n", 0, simulation.Skipped{NotJSON: 2}},
		{"prefix", "2026-11-22T00:00:00Z stderr F " + request, 0, simulation.Skipped{NotJSON: 1}},
		{"torn line", request[:40] + "\n" + request, 1, simulation.Skipped{NotJSON: 1}},
		{"two on one line", request + request, 0, simulation.Skipped{NotJSON: 1}},
		{"longest line", strings.Repeat(" ", simulation.MaxLine-len(request)) + request + "\n" + request, 2, simulation.Skipped{}},
		{"too long", strings.Repeat(" ", simulation.MaxLine) + request + "\n" + request, 1, simulation.Skipped{TooLong: 1}},
		{"much too long", strings.Repeat("x", 5*simulation.MaxLine) + "\n" + request, 1, simulation.Skipped{TooLong: 1}},
		{"too long at the end", request + "\n" + strings.Repeat("x", 5*simulation.MaxLine), 1, simulation.Skipped{TooLong: 1}},
		{"wrong type", `{"msg":"request","decision":"allowed","client":7}`, 0, simulation.Skipped{Invalid: 1}},
		{"invalid client", `{"msg":"request","decision":"allowed","client":"a\u001b[2J"}`, 0, simulation.Skipped{Invalid: 1}},
		{"long text", `{"msg":"request","decision":"allowed","path":"/` + strings.Repeat("a", 1<<10) + `"}`, 0, simulation.Skipped{Invalid: 1}},
	}
	for _, test := range tests {
		for form, log := range map[string][]byte{"plain": []byte(test.log), "gzip": compressed(t, test.log)} {
			requests := 0
			skipped, err := simulation.ReadLog(bytes.NewReader(log), func(*simulation.Entry) error {
				requests++
				return nil
			})
			if err != nil || requests != test.requests || skipped != test.skipped {
				t.Errorf("%s, %s: found %d requests, %+v, %v, want %d, %+v", test.name, form, requests, skipped, err, test.requests, test.skipped)
			}
		}
	}
}

// TestReadLogErrors checks that errors of the callback, of the input and of damaged gzip end
// the reading.
func TestReadLogErrors(t *testing.T) {
	t.Parallel()
	const request = `{"msg":"request","decision":"allowed"}` + "\n"
	stop := errors.New("stop")
	calls := 0
	_, err := simulation.ReadLog(strings.NewReader(request+request), func(*simulation.Entry) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("ReadLog = %v after %d calls, want %v after 1", err, calls, stop)
	}
	broken := io.MultiReader(strings.NewReader(request), errorReader{stop})
	if _, err = simulation.ReadLog(broken, func(*simulation.Entry) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("ReadLog = %v, want the error of the input", err)
	}
	whole := compressed(t, request)
	ignore := func(*simulation.Entry) error { return nil }
	if _, err = simulation.ReadLog(bytes.NewReader(whole[:len(whole)-3]), ignore); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ReadLog of a part of a file = %v, want %v", err, io.ErrUnexpectedEOF)
	}
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-6] ^= 1 // the checksum
	if _, err = simulation.ReadLog(bytes.NewReader(damaged), ignore); !errors.Is(err, gzip.ErrChecksum) {
		t.Errorf("ReadLog of a damaged file = %v, want %v", err, gzip.ErrChecksum)
	}
	if _, err = simulation.ReadLog(bytes.NewReader([]byte{0x1f, 0x8b}), ignore); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ReadLog of a gzip header = %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// TestReadLogReadsLinesOfTheGateway compares an entry with the record that the gateway logged.
func TestReadLogReadsLinesOfTheGateway(t *testing.T) {
	t.Parallel()
	line := newGatewayLog().line(audit.Record{
		RequestID: "id", Client: "mail", Auth: "bearer", Method: "GET", Path: `/a"b`, Rule: "Lesen äöü", KeyID: "00000000000000aa",
		Serial: "0a", Source: "192.0.2.1", Decision: audit.Refused, Reason: "rate_limited", Detail: "\u009b", WouldRefuse: "proof_missing", Status: 429,
	})
	want := simulation.Entry{
		Message: "request", RequestID: "id", Client: "mail", Auth: "bearer", Method: "GET", Path: `/a"b`, Rule: "Lesen äöü", KeyID: "00000000000000aa",
		Serial: "0a", Source: "192.0.2.1", Decision: "refused", Reason: "rate_limited", Detail: `\xc2\x9b`, WouldRefuse: "proof_missing", Status: 429,
	}
	var found simulation.Entry
	if _, err := simulation.ReadLog(strings.NewReader(line), func(e *simulation.Entry) error { found = *e; return nil }); err != nil {
		t.Fatal(err)
	}
	want.Time = found.Time
	if found != want || found.Time == "" {
		t.Errorf("entry %+v, want %+v with a time", found, want)
	}
}
