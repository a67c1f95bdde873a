package headers_test

import (
	"net/textproto"
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/headers"
)

// TestKindOf checks that a field is recognized in every spelling that a server may treat
// as the same name.
func TestKindOf(t *testing.T) {
	tests := []struct {
		kind  headers.Kind
		names []string
	}{
		{headers.Certificate, []string{
			"Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert",
			"X-SSL-Client-Cert", "SSL-Client-Verify", "X-Tls-Client-Cert", "X-Tls-Client-Certificate", "X-Amzn-Mtls-Clientcert-Leaf",
			"X-ARR-ClientCert", "CloudFront-Viewer-Cert-Pem", "Cf-Client-Cert-Der-Base64", "Cf-Cert-Verified",
		}},
		{headers.Credential, []string{"X-SSL-Auth", "X-SSL-Cert"}},
		{headers.Caller, []string{"X-Client-Id", "X-Client-Cert-Serial", "X-Request-Id"}},
		{headers.User, []string{
			"X-Remote-User", "Remote-User", "X-Auth-Request-User", "X-Auth-Request-Access-Token", "X-Forwarded-User", "X-Forwarded-Email",
			"X-Forwarded-Groups", "X-Forwarded-Preferred-Username",
		}},
		{headers.Origin, []string{"Forwarded", "X-Forwarded-Tls-Client-Cert-Info", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "True-Client-IP", "CF-Connecting-IPv6"}},
		{headers.Rewrite, []string{"X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL"}},
		{headers.File, []string{"X-Accel-Redirect", "X-Accel-Mapping", "X-Sendfile", "X-Sendfile-Type"}},
		{headers.Environment, []string{"Proxy"}},
		{headers.Framing, []string{"Content-Length", "Transfer-Encoding"}},
		{headers.HopByHop, []string{"Connection", "TE", "Upgrade", "Expect", "Keep-Alive", "Proxy-Authorization"}},
		{headers.Forwarded, []string{
			"Accept", "Authorization", "Cookie", "Content-Type", "Signature", "X-Clientele", "X-SSLAuth", "Remote-Usher", "Client-Cer",
			"X-Trace", "X-Forwardedness", "", "-", "X",
		}},
	}
	for _, tt := range tests {
		for _, name := range tt.names {
			for _, spelled := range spellings(name) {
				if have := headers.KindOf(spelled); have != tt.kind {
					t.Errorf("%q: kind %d, want %d", spelled, have, tt.kind)
				}
			}
		}
	}
}

// spellings returns variants of the name: in other letter cases, and with each byte that
// is valid in a name instead of its hyphens.
func spellings(name string) []string {
	list := []string{name, strings.ToUpper(name), strings.ToLower(name), textproto.CanonicalMIMEHeaderKey(name)}
	for _, c := range "!#$%&'*+.^_`|~" {
		list = append(list, strings.ReplaceAll(name, "-", string(c)), strings.Replace(name, "-", string(c), 1))
	}
	return list
}

func TestIsHopByHop(t *testing.T) {
	names := []string{"keep-alive", "Transfer-Encoding", "Transfer_Encoding", "Proxy.Connection"}
	for _, group := range headers.Stripped() {
		if group.Kind == headers.HopByHop {
			names = append(names, group.Names...)
		}
	}
	for _, name := range names {
		if !headers.IsHopByHop(name) {
			t.Errorf("%q: not hop-by-hop, want it hop-by-hop", name)
		}
	}
	for _, name := range []string{"Content-Length", "X-Client-Id", "Date", "Tee", "T", "", "Referrals", "Content-Encoding", strings.Repeat("x", 66)} {
		if headers.IsHopByHop(name) {
			t.Errorf("%q: hop-by-hop, want it end-to-end", name)
		}
	}
}

// TestPatterns checks the assumptions of matches about the patterns.
func TestPatterns(t *testing.T) {
	for _, pattern := range headers.Patterns() {
		if !regexp.MustCompile(`^[A-Za-z0-9-]+\*?$`).MatchString(pattern) || len(pattern) >= headers.MaxPattern {
			t.Errorf("pattern %q: want less than %d letters, digits and hyphens before an optional *", pattern, headers.MaxPattern)
		}
	}
	long := "X-Client-" + strings.Repeat("a", 1000)
	if headers.KindOf(long) != headers.Caller || headers.KindOf("X-Request-Id"+strings.Repeat("-", 100)) != headers.Forwarded {
		t.Error("want a long name to match prefixes only")
	}
}

// TestIsReserved checks that every name with another meaning is reserved, and that the
// names that proxies and clients use for certificates are not.
func TestIsReserved(t *testing.T) {
	for _, group := range headers.Stripped() {
		for _, pattern := range group.Names {
			name := strings.ReplaceAll(pattern, "*", "-A")
			want := group.Kind != headers.Certificate && group.Kind != headers.Credential
			for _, spelled := range spellings(strings.ReplaceAll(name, "--", "-")) {
				if have := headers.IsReserved(spelled); have != want {
					t.Errorf("%q: reserved %t, want %t", spelled, have, want)
				}
			}
		}
	}
	for _, name := range append(identityFields(), "Host", "Content-Digest", "Signature_Input", "cookie", "User.Agent", "X-Certgate-Canary") {
		if !headers.IsReserved(name) {
			t.Errorf("%q: not reserved, want it reserved", name)
		}
	}
	for _, name := range append(headers.ProxyCertificates(), "X-SSL-Auth", "X-My-Proxy", "X_CERT") {
		if headers.IsReserved(name) {
			t.Errorf("%q: reserved, want it free", name)
		}
	}
}

// TestProxyCertificates checks that the names are canonical keys of an http.Header and of
// the kind Certificate.
func TestProxyCertificates(t *testing.T) {
	for _, name := range headers.ProxyCertificates() {
		if name != textproto.CanonicalMIMEHeaderKey(name) || headers.KindOf(name) != headers.Certificate || headers.IsCertificateChain(name) {
			t.Errorf("%q: want a canonical name of the kind Certificate", name)
		}
	}
	for _, name := range []string{"client_cert_chain", "CF-Client-Cert-Chain-Der-Base64"} {
		if !headers.IsCertificateChain(name) {
			t.Errorf("%q: want a chain", name)
		}
	}
}

func TestIsIdentity(t *testing.T) {
	for _, name := range identityFields() {
		if !headers.IsIdentity(name) || !headers.IsIdentity(strings.ToLower(name)) || headers.IsIdentity(strings.ReplaceAll(name, "-", "_")) {
			t.Errorf("%q: want it accepted in any letter case and in no other spelling", name)
		}
		if name != textproto.CanonicalMIMEHeaderKey(name) {
			t.Errorf("%q is not canonical", name)
		}
	}
}

// FuzzSame checks that Same returns the same result as comparing folded names, and that
// Fold is idempotent and keeps the length.
func FuzzSame(f *testing.F) {
	f.Add("X-Client-Id", "x_client.ID")
	f.Add("X-Client-Id", "X-Client-I")
	f.Add("", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		if have, want := headers.Same(a, b), headers.Fold(a) == headers.Fold(b); have != want {
			t.Errorf("%q and %q: the same %t, want %t", a, b, have, want)
		}
		if once := headers.Fold(a); headers.Fold(once) != once || len(once) != len(a) {
			t.Errorf("%q folds to %q, which folds to %q", a, once, headers.Fold(once))
		}
	})
}

func BenchmarkKindOf(b *testing.B) {
	for range b.N {
		headers.KindOf("X-Some-Custom-Field")
	}
}

// identityFields returns the names of the fields that describe the client to the service.
func identityFields() []string {
	return []string{headers.ClientID, headers.ClientAuth, headers.ClientCertSerial, headers.ClientCertFingerprint, headers.RequestID}
}
