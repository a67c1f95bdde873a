package problem_test

import (
	"encoding/json"
	"testing"

	"github.com/certgate/certgate/internal/denial"
	"github.com/certgate/certgate/internal/problem"
)

// TestDocument: what is appended piece by piece is what encoding/json writes.
func TestDocument(t *testing.T) {
	for _, id := range []string{"", "0123456789abcdef", "az-AZ_09.:=+/"} {
		for i, reason := range denial.Reasons() {
			hint := ""
			if i%2 == 0 {
				hint = `Attach "it" <here>`
			}
			want, err := json.Marshal(struct {
				Type      string `json:"type"`
				Title     string `json:"title"`
				Detail    string `json:"detail,omitempty"`
				Status    int    `json:"status"`
				Reason    string `json:"reason"`
				RequestID string `json:"request_id,omitempty"`
			}{"urn:certgate:" + string(reason), reason.Title(), hint, reason.Status(), string(reason), id})
			if have := string(problem.Problem{Reason: reason, Status: reason.Status(), RequestID: id, Hint: hint}.Document()); err != nil || have != string(want)+"\n" {
				t.Errorf("%s, want %s: %v", have, want, err)
			}
		}
	}
}
