package harness

import (
	"encoding/json"
	"strings"
	"testing"
)

// AuditLine is the log's line of one request.
type AuditLine struct {
	Msg       string `json:"msg"`
	Level     string `json:"level"`
	Surface   string `json:"surface"`
	RequestID string `json:"request_id"`
	Client    string `json:"client"`
	Auth      string `json:"auth"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Decision  string `json:"decision"`
	Reason    string `json:"reason"`
	Detail    string `json:"detail"`
	Rule      string `json:"rule"`
	KeyID     string `json:"key_id"`
	Serial    string `json:"serial"`
	NotAfter  string `json:"not_after"`
	Source    string `json:"source"`
	Upstream  string `json:"upstream"`
	SharedKey bool   `json:"legacy_shared_key"`
	Status    int    `json:"status"`

	WouldRefuse string `json:"would_refuse"`
	Next        string `json:"next"`
}

// WaitAuditLine waits for the first audit line that match accepts.
func (g *Gateway) WaitAuditLine(t *testing.T, match func(AuditLine) bool) AuditLine {
	t.Helper()
	var found AuditLine
	_, err := g.Stderr.WaitLine(func(line string) bool {
		found = AuditLine{}
		return json.Unmarshal([]byte(line), &found) == nil && found.Msg == "request" && match(found)
	})
	if err != nil {
		t.Fatalf("want an audit line: %v", err)
	}
	return found
}

// AuditLineOf waits for the audit line of the request with the ID.
func (g *Gateway) AuditLineOf(t testing.TB, requestID string) AuditLine {
	t.Helper()
	var found AuditLine
	_, err := g.Stderr.WaitLine(func(line string) bool {
		if !strings.Contains(line, requestID) {
			return false
		}
		found = AuditLine{}
		return json.Unmarshal([]byte(line), &found) == nil && found.Msg == "request" && found.RequestID == requestID
	})
	if err != nil {
		t.Fatalf("want an audit line: %v", err)
	}
	return found
}

// lineCheck is a check of an audit line that waits for the end of the test.
type lineCheck struct {
	subtest, requestID string
	check              func(t testing.TB, line AuditLine)
}

// CheckLogAtEnd makes [Gateway.CheckAuditLine], and the methods that use it, keep their checks
// until t and its subtests have run. The gateway writes audit lines ten times a second, so a
// test that sends many requests, one after the other, would wait for the log most of the time.
func (g *Gateway) CheckLogAtEnd(t *testing.T) {
	t.Helper()
	g.checksAtEnd = true
	t.Cleanup(func() {
		for _, c := range g.lineChecks {
			in := subtest{t, c.subtest}
			c.check(in, g.AuditLineOf(in, c.requestID))
		}
	})
}

// CheckAuditLine checks the audit line of the request with the ID: now, or after
// [Gateway.CheckLogAtEnd] when the test ends.
func (g *Gateway) CheckAuditLine(t *testing.T, requestID string, check func(t testing.TB, line AuditLine)) {
	t.Helper()
	if !g.checksAtEnd {
		check(t, g.AuditLineOf(t, requestID))
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lineChecks = append(g.lineChecks, lineCheck{t.Name(), requestID, check})
}

// subtest reports the errors of a subtest that has ended in the test above it.
type subtest struct {
	testing.TB
	name string
}

func (s subtest) Errorf(format string, args ...any) {
	s.Helper()
	s.TB.Errorf(s.name+": "+format, args...)
}

func (s subtest) Fatalf(format string, args ...any) {
	s.Helper()
	s.TB.Fatalf(s.name+": "+format, args...)
}
