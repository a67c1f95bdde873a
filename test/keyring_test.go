package test

import (
	"encoding/asn1"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestRotation: two keys are in force, then only the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, after := newMaster(t, "rsa"), newMaster(t, "p256")
	old, renewed := before.issue(t, subject("mail")), after.issue(t, subject("mail"))
	u := newUpstream(t, nil)
	env := settings(before.publicKey+after.publicKey, u)

	g := serve(t, u, env)
	g.wantAllowed(t, get("/events", old))
	g.wantAllowed(t, get("/events", renewed))
	wantKeyIDs(t, g, keyID(t, before.publicKey), keyID(t, after.publicKey))
	g.stop(t, terminate)

	g = serve(t, u, env.with(environment{"AUTH_PUBLIC_KEY": after.publicKey}))
	g.wantRefused(t, get("/events", old), refusal.CertificateUntrusted)
	g.wantAllowed(t, get("/events", renewed))
	wantKeyIDs(t, g, keyID(t, after.publicKey))
}

// wantKeyIDs: the log says at start which keys are in force.
func wantKeyIDs(t *testing.T, g *gateway, ids ...string) {
	t.Helper()
	said := g.stderr.String()
	if found := strings.Count(said, `"msg":"trusted key"`); found != len(ids) {
		t.Errorf("want %d trusted keys in the log, found %d", len(ids), found)
	}
	for _, id := range ids {
		if !strings.Contains(said, `"msg":"trusted key","key_id":"`+id+`"`) {
			t.Errorf("want the key %s in the log", id)
		}
	}
}

// TestKeyForms: what .env files and dashboards make of a PEM.
func TestKeyForms(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail, stranger := m.issue(t, subject("mail")), newMaster(t, "p256").issue(t, subject("mail"))
	m.write(t, "master.pub", m.publicKey)
	for name, text := range map[string]string{
		"two characters": strings.ReplaceAll(strings.TrimSpace(m.publicKey), "\n", `\n`),
		"single spaces":  shell(t, m.dir, "KEY=$(cat master.pub); echo $KEY"),
		"base64":         shell(t, m.dir, "openssl base64 -A -in master.pub"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run.secrets.keep(text)
			u := newUpstream(t, nil)
			g := serve(t, u, settings(text, u))
			g.wantAllowed(t, get("/events", mail))
			g.wantRefused(t, get("/events", stranger), refusal.CertificateUntrusted)
		})
	}
}

// TestDenyList: each way to name a certificate that is not to pass any more.
func TestDenyList(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	leaked := m.issue(t, certificateOptions{subject: "/OU=social", key: "ed25519"})
	other := m.issue(t, subject("mail")) // another name, serial and key
	for _, test := range []struct {
		name, entry string
		reason      refusal.Reason
	}{
		{"client", "client: social", refusal.AccessDenied},
		{"serial", `serial: "` + leaked.serial() + `"`, refusal.CertificateRevoked},
		{"serial in upper case", `serial: "` + strings.ToUpper(leaked.serial()) + `"`, refusal.CertificateRevoked},
		{"key", `spki: "` + leaked.spki() + `"`, refusal.CertificateRevoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, m, environment{
				"ACCESS_RULES": everybodyReadsAndAdds + "deny:\n  - " + test.entry + "\n    reason: key leaked 2026-11-02\n",
			})
			g.wantAllowed(t, get("/events", other))
			a := g.wantRefused(t, get("/events", leaked), test.reason)
			line := g.auditOf(t, a.problem(t).RequestID)
			if !strings.Contains(line.Detail, "key leaked 2026-11-02") {
				t.Errorf("want the operator's reason in the log, found %q", line.Detail)
			}
		})
	}
}

// TestMutations changes a certificate byte by byte: nothing that was signed or
// that signs may change and still pass.
func TestMutations(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, nil)
	mail := m.issue(t, subject("mail"))
	g.wantAllowed(t, get("/events", mail))
	der := mail.parsed.Raw
	for i := 0; i < len(der); i += 7 {
		for _, flip := range []byte{0x01, 0x80} {
			changed := append([]byte(nil), der...)
			changed[i] ^= flip
			a := send(t, g.addr, credential(certheader.Encode(certheader.Base64DER, changed)))
			if a.status != 401 && a.status != 403 {
				t.Errorf("byte %d of %d: want 401 or 403, found %d", i, len(der), a.status)
			}
		}
	}
	// What follows the signature is nobody's word either.
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		t.Fatal(err)
	}
	longer, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(outer.Bytes, 5, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"a NULL more": certheader.Encode(certheader.Base64DER, longer),
		"a byte more": certheader.Encode(certheader.Base64DER, append(append([]byte(nil), der...), 0)),
		"a byte less": certheader.Encode(certheader.Base64DER, der[:len(der)-1]),
		"two merged":  fmt.Sprintf("%s, %[1]s", mail.header(certheader.Base64DER)),
	} {
		if a := send(t, g.addr, credential(value)); a.status != 401 {
			t.Errorf("%s: want 401, found %d", name, a.status)
		}
	}
	g.upstream.wantNothing(t)
}
