package problem_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/surface/problem"
)

// TestDocument checks that Document produces the same bytes as encoding/json.
func TestDocument(t *testing.T) {
	for _, id := range []string{"", "0123456789abcdef", "az-AZ_09.:=+/"} {
		for i, reason := range refusal.Reasons() {
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

// TestSetHeader checks that optional fields are set only if they have a value.
func TestSetHeader(t *testing.T) {
	set := func(p problem.Problem) http.Header {
		h := http.Header{}
		p.SetHeader(h)
		return h
	}
	want := http.Header{"Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}}
	if have := set(problem.Problem{Reason: refusal.AccessDenied, Status: 403, Header: "X-SSL-Auth"}); !reflect.DeepEqual(have, want) {
		t.Errorf("header %q, want %q", have, want)
	}
	want["X-Request-Id"], want["Retry-After"] = []string{"r-1"}, []string{"2"}
	want["Www-Authenticate"] = []string{`Certificate realm="certgate", header="X-SSL-Auth", error="proof_missing"`}
	want["Accept-Signature"] = []string{`sig1=("@method");created;tag="certgate"`}
	have := set(problem.Problem{
		Reason: refusal.ProofMissing, Status: 401, RequestID: "r-1", Header: "X-SSL-Auth",
		AcceptSignature: `sig1=("@method");created;tag="certgate"`, RetryAfter: time.Second + 1,
	})
	if !reflect.DeepEqual(have, want) {
		t.Errorf("header %q, want %q", have, want)
	}
}
