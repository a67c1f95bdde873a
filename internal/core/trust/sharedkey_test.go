package trust_test

import (
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// TestSharedKey checks that SharedKey reports a certificate whose key issues certificates,
// and that such a certificate is refused if the limits require it.
func TestSharedKey(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	public, ca := o.newCA("ca", "rsa:2048")
	second, _ := o.newCA("second", "ec:P-256")
	one := o.intermediate(intermediateOptions{name: "one", ca: "ca"})
	o.key("mail", "ec:P-256")
	o.openssl("req", "-new", "-config", "req.cnf", "-key", "ca.key", "-subj", "/O=Example/OU=mail/CN=mail", "-out", "mail.csr")
	recipe := parsed(t, o.openssl("x509", "-req", "-in", "mail.csr", "-signkey", "ca.key"))
	tests := []struct {
		name    string
		leaf    clientOptions
		anchors [][]byte
		shared  bool
	}{
		{"own key, bare key", clientOptions{ca: "ca", key: "mail"}, [][]byte{public}, false},
		{"own key, CA", clientOptions{ca: "ca", key: "mail"}, [][]byte{ca}, false},
		{"own key, below an intermediate", clientOptions{ca: "one", key: "mail"}, [][]byte{ca}, false},
		{"2012 recipe", clientOptions{}, [][]byte{public}, true},
		{"the anchor's key, bare key", clientOptions{ca: "ca", key: "ca"}, [][]byte{public}, true},
		{"the anchor's key, CA", clientOptions{ca: "ca", key: "ca"}, [][]byte{ca}, true},
		{"the anchor's key, below an intermediate", clientOptions{ca: "one", key: "ca"}, [][]byte{ca}, true},
		{"the intermediate's key", clientOptions{ca: "one", key: "one"}, [][]byte{ca}, true},
		{"the intermediate's key, above it", clientOptions{ca: "ca", key: "one"}, [][]byte{ca}, false},
		{"another anchor's key", clientOptions{ca: "ca", key: "second"}, [][]byte{public, second}, true},
		{"a key that is not an anchor", clientOptions{ca: "ca", key: "second"}, [][]byte{public}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaf := recipe
			if tt.leaf.ca != "" {
				leaf = o.client(tt.leaf)
			}
			for _, refuse := range []bool{false, true} {
				want := refusal.Reason("")
				if refuse && tt.shared {
					want = refusal.LegacySharedKey
				}
				limits := trust.Limits{RefuseSharedKey: refuse}
				v, err := trust.NewVerifier(keyring(t, tt.anchors...), nil, limits).Verify(leaf, midValidity(leaf), one)
				check(t, leaf, v, err, want)
				if want == "" && v.SharedKey() != tt.shared {
					t.Errorf("shared key %v, want %v", v.SharedKey(), tt.shared)
				}
			}
		})
	}
	if (trust.Verified{}).SharedKey() {
		t.Error("want false for the zero value")
	}
}
