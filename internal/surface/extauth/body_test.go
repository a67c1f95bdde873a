package extauth

import (
	"testing"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// TestContent checks that content is used only if Envoy sends all of it, and that content
// is never considered absent if any field declares it.
func TestContent(t *testing.T) {
	const partial = "x-envoy-auth-partial-body"
	for _, tt := range []struct {
		name   string
		method string
		fields []string // names and values
		body   string
		is     string // the content that the gate receives
		may    bool   // the request may have content
	}{
		{"none", "GET", nil, "", "", false},
		{"DELETE without content", "DELETE", []string{"content-length", "0"}, "", "", false},
		{"POST without information", "POST", nil, "", "", true},
		{"all", "POST", nil, "body", "body", true},
		{"all, declared by Envoy", "POST", []string{partial, "false", "content-length", "4"}, "body", "body", true},
		{"all of a GET", "GET", []string{"content-length", "4"}, "body", "body", true},
		{"a part, declared by Envoy", "POST", []string{partial, "true"}, "body", "", true},
		{"a part of a GET", "GET", []string{partial, "true"}, "body", "", true},
		{"a part, contradicted by the client", "POST", []string{partial, "false", partial, "true"}, "body", "", true},
		{"a part, by its length", "POST", []string{partial, "false", "content-length", "5"}, "body", "", true},
		{"another length", "POST", []string{"content-length", "3"}, "body", "", true},
		{"two lengths", "POST", []string{"content-length", "4", "content-length", "5"}, "body", "", true},
		{"not sent", "GET", []string{"content-length", "4"}, "", "", true},
		{"not sent, of two lengths", "GET", []string{"content-length", "0", "content-length", "4"}, "", "", true},
		{"not sent, of a HEAD", "HEAD", []string{"content-length", "4"}, "", "", true},
		{"not sent, in chunks", "DELETE", []string{"transfer-encoding", "chunked"}, "", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			message := encodeRaw(newCheck(t))
			h := httpOf(message)
			h.Method, h.RawBody = tt.method, []byte(tt.body)
			for i, field := range h.HeaderMap.Headers {
				if field.Key == ":method" {
					h.HeaderMap.Headers[i].RawValue = []byte(tt.method)
				}
			}
			for i := 0; i < len(tt.fields); i += 2 {
				addRaw(message, tt.fields[i], tt.fields[i+1])
			}
			r, refused := describeAttributes(message.Attributes, headerOf(h))
			if refused != nil {
				t.Fatal(refused)
			}
			seen := ""
			if r.body != nil {
				body, err := r.body.Hold("mail")
				if err != nil {
					t.Fatal(err)
				}
				seen = string(body)
			}
			if seen != tt.is || r.mayHaveBody() != tt.may {
				t.Errorf("want content %q and may %t, found %q and %t", tt.is, tt.may, seen, r.mayHaveBody())
			}
		})
	}
	if bodyOf(&auth.AttributeContext_HttpRequest{Body: "text"}, nil) == nil {
		t.Error("want content that is sent as text seen")
	}
}
