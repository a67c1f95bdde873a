package e2e

import (
	"encoding/asn1"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestKeyRotation runs with two keys in force, then with the new one only.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	before, after := harness.NewMasterKey(t, "rsa"), harness.NewMasterKey(t, "p256")
	old, renewed := before.Issue(t, harness.OU("mail")), after.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, nil)
	env := harness.GatewayEnv(before.PublicKey+after.PublicKey, u)

	g := harness.StartGateway(t, u, env)
	g.WantAllowed(t, harness.Get("/events", old))
	g.WantAllowed(t, harness.Get("/events", renewed))
	wantKeyIDs(t, g, harness.KeyID(t, before.PublicKey), harness.KeyID(t, after.PublicKey))
	g.Stop(t, harness.Terminate)

	g = harness.StartGateway(t, u, env.With(harness.Env{"AUTH_PUBLIC_KEY": after.PublicKey}))
	g.WantRefused(t, harness.Get("/events", old), refusal.CertificateUntrusted)
	g.WantAllowed(t, harness.Get("/events", renewed))
	wantKeyIDs(t, g, harness.KeyID(t, after.PublicKey))
}

// wantKeyIDs checks the IDs of the keys in force in the log of the start.
func wantKeyIDs(t *testing.T, g *harness.Gateway, ids ...string) {
	t.Helper()
	output := g.Stderr.String()
	if found := strings.Count(output, `"msg":"trusted key"`); found != len(ids) {
		t.Errorf("want %d trusted keys in the log, found %d", len(ids), found)
	}
	for _, id := range ids {
		if !strings.Contains(output, `"msg":"trusted key","key_id":"`+id+`"`) {
			t.Errorf("want the key %s in the log", id)
		}
	}
}

// TestPublicKeyForms reads public keys in the forms that .env files and dashboards produce.
func TestPublicKeyForms(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail, otherKey := m.Issue(t, harness.OU("mail")), harness.NewMasterKey(t, "p256").Issue(t, harness.OU("mail"))
	m.WriteFile(t, "master.pub", m.PublicKey)
	for name, text := range map[string]string{
		"two characters": strings.ReplaceAll(strings.TrimSpace(m.PublicKey), "\n", `\n`),
		"single spaces":  shell(t, m.Dir, "KEY=$(cat master.pub); echo $KEY"),
		"base64":         shell(t, m.Dir, "openssl base64 -A -in master.pub"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			harness.KeepSecret(text)
			u := harness.NewUpstream(t, nil)
			g := harness.StartGateway(t, u, harness.GatewayEnv(text, u))
			g.WantAllowed(t, harness.Get("/events", mail))
			g.WantRefused(t, harness.Get("/events", otherKey), refusal.CertificateUntrusted)
		})
	}
}

// TestDenyList denies a certificate by every attribute that a deny list can name.
func TestDenyList(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	leaked := m.Issue(t, harness.CertificateOptions{Subject: "/OU=social", Key: "ed25519"})
	other := m.Issue(t, harness.OU("mail")) // another name, serial and key
	for _, test := range []struct {
		name, entry string
		reason      refusal.Reason
	}{
		{"client", "client: social", refusal.AccessDenied},
		{"serial", `serial: "` + leaked.Serial() + `"`, refusal.CertificateRevoked},
		{"serial in upper case", `serial: "` + strings.ToUpper(leaked.Serial()) + `"`, refusal.CertificateRevoked},
		{"key", `spki: "` + leaked.SPKI() + `"`, refusal.CertificateRevoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := harness.NewGateway(t, m, harness.Env{
				"ACCESS_RULES": harness.AllowAllRules + "deny:\n  - " + test.entry + "\n    reason: key leaked 2026-11-02\n",
			})
			g.WantAllowed(t, harness.Get("/events", other))
			a := g.WantRefused(t, harness.Get("/events", leaked), test.reason)
			line := g.AuditLineOf(t, a.Problem(t).RequestID)
			if !strings.Contains(line.Detail, "key leaked 2026-11-02") {
				t.Errorf("want the operator's reason in the log, found %q", line.Detail)
			}
		})
	}
}

// TestMutatedCertificates changes each byte of a certificate and expects that none of the
// results is accepted.
func TestMutatedCertificates(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, nil)
	mail := m.Issue(t, harness.OU("mail"))
	g.WantAllowed(t, harness.Get("/events", mail))
	der := mail.Parsed.Raw
	for i := 0; i < len(der); i += 7 {
		for _, flip := range []byte{0x01, 0x80} {
			changed := append([]byte(nil), der...)
			changed[i] ^= flip
			a := harness.Send(t, g.Addr, harness.GetWithCredential(certheader.Encode(certheader.Base64DER, changed)))
			if a.Status != 401 && a.Status != 403 {
				t.Errorf("byte %d of %d: want 401 or 403, found %d", i, len(der), a.Status)
			}
		}
	}
	// Bytes after the signature are refused, too.
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
		"two merged":  fmt.Sprintf("%s, %[1]s", mail.HeaderValue(certheader.Base64DER)),
	} {
		if a := harness.Send(t, g.Addr, harness.GetWithCredential(value)); a.Status != 401 {
			t.Errorf("%s: want 401, found %d", name, a.Status)
		}
	}
	g.Upstream.WantNothing(t)
}
