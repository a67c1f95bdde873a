package harness

import (
	"encoding/json"
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
func (g *Gateway) AuditLineOf(t *testing.T, requestID string) AuditLine {
	t.Helper()
	return g.WaitAuditLine(t, func(l AuditLine) bool { return l.RequestID == requestID })
}
