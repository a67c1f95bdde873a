package trust_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/trust"
)

// FuzzParseKeyring holds any text to these properties: nothing panics; what is
// accepted has 1 to MaxAnchors different anchors; the same text in base64 or
// with CRLF has the same ones.
func FuzzParseKeyring(f *testing.F) {
	o := newOffice(f)
	public, certificate := o.authority("ca", "ec:P-256")
	other, _ := o.authority("other", "ed25519")
	plain := string(public) + "# next\n" + string(other)
	for _, seed := range []string{
		plain, string(certificate), string(o.read("ca.key")), "", "#", string(public) + string(public),
		strings.ReplaceAll(plain, "\n", `\n`), spaced(string(public) + string(other)), strings.ReplaceAll(plain, "\n", "\r\n"), damaged(public) + string(other),
		base64.StdEncoding.EncodeToString([]byte(plain)), retyped(public, "X"), strings.Replace(plain, "\n", "\na: b\n\n", 1),
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
			return // another spelling already
		}
		for _, spelling := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), strings.ReplaceAll(text, "\n", "\r\n")} {
			again, err := trust.ParseKeyring([]byte(spelling), 1024)
			if err != nil || fmt.Sprint(ids(again)) != fmt.Sprint(want) {
				t.Fatalf("another spelling has other anchors: %v", err)
			}
		}
	})
}
