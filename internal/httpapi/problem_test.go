package httpapi

import (
	"encoding/json"
	"testing"

	"github.com/certgate/certgate/internal/denial"
)

// TestDocument: what is appended piece by piece is what encoding/json writes.
func TestDocument(t *testing.T) {
	for _, id := range []string{"", newRequestID(), "az-AZ_09.:=+/"} {
		if id != "" && !wellFormedID(id) {
			t.Errorf("%q: want an id that is taken", id)
		}
		for _, reason := range denial.Reasons() {
			want, err := json.Marshal(struct {
				Type      string `json:"type"`
				Title     string `json:"title"`
				Status    int    `json:"status"`
				Reason    string `json:"reason"`
				RequestID string `json:"request_id,omitempty"`
			}{"urn:certgate:" + string(reason), reason.Title(), reason.Status(), string(reason), id})
			if have := string(document(reason, id)); err != nil || have != string(want)+"\n" {
				t.Errorf("%s, want %s: %v", have, want, err)
			}
		}
	}
}
