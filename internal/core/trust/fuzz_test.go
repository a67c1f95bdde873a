package trust_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
)

// FuzzParseKeyring checks three properties for any text: ParseKeyring does not panic, an
// accepted text has 1 to MaxAnchors different anchors, and the same text in base64 or with
// CRLF has the same anchors.
func FuzzParseKeyring(f *testing.F) {
	o := newOpenSSL(f)
	public, certificate := o.newCA("ca", "ec:P-256")
	other, _ := o.newCA("other", "ed25519")
	plain := string(public) + "# next\n" + string(other)
	for _, seed := range []string{
		plain, string(certificate), string(o.read("ca.key")), "", "#", string(public) + string(public),
		strings.ReplaceAll(plain, "\n", `\n`), withSpaces(string(public) + string(other)), strings.ReplaceAll(plain, "\n", "\r\n"), withDamagedBase64(public) + string(other),
		base64.StdEncoding.EncodeToString([]byte(plain)), withType(public, "X"), strings.Replace(plain, "\n", "\na: b\n\n", 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := trust.ParseKeyring([]byte(text), 1024)
		if err != nil {
			if ring != nil {
				t.Fatal("want a keyring or an error, found both")
			}
			return
		}
		want := ids(ring)
		if n := len(want); n < 1 || n > trust.MaxAnchors {
			t.Fatalf("want 1 to %d anchors, found %d", trust.MaxAnchors, n)
		}
		if !strings.Contains(text, "-----BEGIN ") || strings.Contains(text, "\r") {
			return // already in another form
		}
		for _, variant := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), strings.ReplaceAll(text, "\n", "\r\n")} {
			again, err := trust.ParseKeyring([]byte(variant), 1024)
			if err != nil || fmt.Sprint(ids(again)) != fmt.Sprint(want) {
				t.Fatalf("another form of the text has other anchors: %v", err)
			}
		}
	})
}
