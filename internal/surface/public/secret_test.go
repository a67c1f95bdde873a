package public

import (
	"encoding/base64"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// leaked reports whether text contains 16 or more consecutive bytes of the secret.
func leaked(text, secret string) bool {
	for i := range len(secret) - 15 {
		if strings.Contains(text, secret[i:i+16]) {
			return true
		}
	}
	return false
}

func TestLeaked(t *testing.T) {
	const secret = "0123456789abcdefghij"
	for text, want := range map[string]bool{
		"": false, "x" + secret[:15] + "y": false, "x" + secret[2:18] + "y": true, secret[4:]: true,
	} {
		if have := leaked(text, secret); have != want {
			t.Errorf("leaked(%q) %t, want %t", text, have, want)
		}
	}
}

// tampered returns the value with one letter in the middle replaced.
func tampered(value string) string {
	letter := "A"
	if value[400] == 'A' {
		letter = "B"
	}
	return value[:400] + letter + value[401:]
}

// TestCredentialNotDisclosed checks that the credential is absent from the log, the
// response, the metrics and the upstream request, for every encoding and every result.
func TestCredentialNotDisclosed(t *testing.T) {
	t.Parallel()
	w := newCertificates(t)
	for _, form := range []certheader.Form{certheader.Base64DER, certheader.Base64PEM, certheader.PercentPEM} {
		mail := certheader.Encode(form, w.mail.Raw)
		other := certheader.Encode(form, w.other.Raw)
		social := certheader.Encode(form, w.social.Raw)
		requests := map[string]string{
			"granted":    request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+mail, "X_SSL_Auth: "+mail, "Client-Cert: "+mail, "X-Forwarded-Client-Cert: "+mail, "X-Client-Cert: "+mail),
			"untrusted":  request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+other),
			"denied":     request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+social),
			"twice":      request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+mail, "X-SSL-Auth: "+mail),
			"cut":        request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+mail[:len(mail)-7]),
			"changed":    request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+tampered(mail)),
			"with blank": request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+mail+" "+mail),
			"too large":  request("GET /events/ HTTP/1.1", "X-SSL-Auth: "+mail+mail+mail+mail),
			"ambiguous":  request("POST /events HTTP/1.1", "X-SSL-Auth: "+mail, "Content-Length: 1", "Transfer-Encoding: chunked"),
			"query":      request("GET /events/?cert="+mail+" HTTP/1.1", "X-SSL-Auth: "+other),
		}
		for name, text := range requests {
			t.Run(string(form)+"/"+name, func(t *testing.T) {
				b := newFixture(t, nil)
				res := b.send(t, text)
				atUpstream := ""
				if b.forwarded() > 0 {
					dump, err := httputil.DumpRequest(<-b.requests, true)
					if err != nil {
						t.Fatal(err)
					}
					atUpstream = string(dump)
				}
				if (name == "granted") != (atUpstream != "") {
					t.Errorf("at the upstream %q: want the granted request only", atUpstream)
				}
				places := map[string]string{"response": res.raw, "log": b.text(), "metrics": b.metrics(), "upstream": atUpstream}
				for place, have := range places {
					for _, secret := range []string{mail, other, social, base64.StdEncoding.EncodeToString(w.mail.Raw)} {
						if leaked(have, secret) {
							t.Errorf("the credential is in the %s: %s", place, have)
						}
					}
				}
			})
		}
	}
}
