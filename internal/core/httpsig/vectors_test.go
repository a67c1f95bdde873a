package httpsig_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestVectors tests the examples of RFC 9421 for requests and for keys that a certificate
// can have. It compares the signature base byte for byte and verifies the signature
// printed in the RFC.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/rfc9421/*.txtar")
	if err != nil || len(files) != 14 {
		t.Fatalf("want 14 vectors, found %d, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			about := fields(string(archive.Comment))
			want := strings.TrimSuffix(string(archive.Files[1].Data), "\n")
			base, signature, err := httpsig.SignatureBase(request(t, archive.Files[0].Data), about["label"])
			if err != nil {
				t.Fatal(err)
			}
			if string(base) != want {
				t.Errorf("want the base\n%s\nfound\n%s", want, base)
			}
			key := publicKey(t, about["key"])
			if got := httpsig.Verify(key, about["algorithm"], base, signature); got != (about["verifies"] == "yes") {
				t.Errorf("verifies: %t, want %s", got, about["verifies"])
			}
			if httpsig.Verify(key, about["algorithm"], append(base, '\n'), signature) {
				t.Error("want the signature refused for another base, found it accepted")
			}
		})
	}
}

// fields parses lines of the form "name: value".
func fields(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		found[name] = value
	}
	return found
}

// request parses a request without a body with net/http.
func request(t *testing.T, text []byte) httpsig.Message {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return httpsig.Message{Method: r.Method, Target: r.RequestURI, Authority: r.Host, Header: r.Header}
}

func publicKey(t *testing.T, name string) crypto.PublicKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/keys", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block.Type == "RSA PUBLIC KEY" {
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestFieldValues tests the examples of RFC 9421, section 2.1. net/http parses the request
// and unfolds the folded line.
func TestFieldValues(t *testing.T) {
	m := request(t, []byte("GET / HTTP/1.1\r\nHost: www.example.com\r\nDate: Tue, 20 Apr 2021 02:07:56 GMT\r\n"+
		"X-OWS-Header:   Leading and trailing whitespace.   \r\nX-Obs-Fold-Header: Obsolete\r\n    line folding.\r\n"+
		"Cache-Control: max-age=60\r\nCache-Control:    must-revalidate\r\n"+
		"Example-Dict:  a=1,    b=2;x=1;y=2,   c=(a   b   c)\r\nX-Empty-Header: \r\n\r\n"))
	m.Header["X-Untrimmed"] = []string{" \t a\tb \t", "", " c"}
	tests := []struct{ name, want string }{
		{"date", "Tue, 20 Apr 2021 02:07:56 GMT"},
		{"x-ows-header", "Leading and trailing whitespace."},
		{"x-obs-fold-header", "Obsolete line folding."},
		{"cache-control", "max-age=60, must-revalidate"},
		{"example-dict", "a=1,    b=2;x=1;y=2,   c=(a   b   c)"},
		{"x-empty-header", ""},
		{"x-untrimmed", "a\tb, , c"},
	}
	for _, tt := range tests {
		if got, err := httpsig.Value(m, `"`+tt.name+`"`); err != nil || got != tt.want {
			t.Errorf("%s: want %q, found %q, %v", tt.name, tt.want, got, err)
		}
	}
}

// TestDerivedValues tests the examples of RFC 9421, sections 2.2.1 to 2.2.8, and edge
// cases.
func TestDerivedValues(t *testing.T) {
	const (
		plain   = "/path?param=value&foo=bar&baz=batman&qux="
		encoded = "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something"
	)
	tests := []struct {
		host, target, component string
		want                    string
		reason                  refusal.Reason
	}{
		{"www.example.com", plain, `"@method"`, "POST", ""},
		{"www.example.com", plain, `"@authority"`, "www.example.com", ""},
		{"WWW.Example.COM:443", plain, `"@authority"`, "www.example.com", ""},
		{"example.com:80", plain, `"@authority"`, "example.com", ""},
		{"example.com:8080", plain, `"@authority"`, "example.com:8080", ""},
		{"example.com:4430", plain, `"@authority"`, "example.com:4430", ""},
		{"[2001:DB8::1]:443", plain, `"@authority"`, "[2001:db8::1]", ""},
		{"[2001:db8::80]", plain, `"@authority"`, "[2001:db8::80]", ""},
		{"", plain, `"@authority"`, "", refusal.ProofMalformed},
		{"h", "/path?param=value", `"@request-target"`, "/path?param=value", ""},
		{"h", "/path?param=value", `"@path"`, "/path", ""},
		{"h", "/", `"@path"`, "/", ""},
		{"h", "/%7Euser/A%2fb", `"@path"`, "/%7Euser/A%2fb", ""},
		{"h", "*", `"@path"`, "", refusal.ProofMalformed},
		{"h", "", `"@path"`, "", refusal.ProofMalformed},
		{"h", "https://h/path", `"@path"`, "", refusal.ProofMalformed},
		{"h", "h:80", `"@query"`, "", refusal.ProofMalformed},
		{"h", "/path?param=value&foo=bar&baz=bat%2Dman", `"@query"`, "?param=value&foo=bar&baz=bat%2Dman", ""},
		{"h", "/path?queryString", `"@query"`, "?queryString", ""},
		{"h", "/path", `"@query"`, "?", ""},
		{"h", "/path?", `"@query"`, "?", ""},
		{"h", "/path?a?b", `"@query"`, "?a?b", ""},
		{"h", plain, `"@query-param";name="baz"`, "batman", ""},
		{"h", plain, `"@query-param";name="qux"`, "", ""},
		{"h", plain, `"@query-param";name="param"`, "value", ""},
		{"h", encoded, `"@query-param";name="var"`, "this%20is%20a%20big%0Amultiline%20value", ""},
		{"h", encoded, `"@query-param";name="bar"`, "with%20plus%20whitespace", ""},
		{"h", encoded, `"@query-param";name="fa%C3%A7ade%22%3A%20"`, "something", ""},
		{"h", "/?a*-._~=*-._~", `"@query-param";name="a*-._%7E"`, "*-._%7E", ""},
		{"h", "/?a=%2525%2b", `"@query-param";name="a"`, "%2525%2B", ""},
		{"h", "/?flag&&", `"@query-param";name="flag"`, "", ""},
		{"h", "/?a=b=c", `"@query-param";name="a"`, "b%3Dc", ""},
		{"h", plain, `"@query-param";name="nope"`, "", refusal.ProofIncomplete},
		{"h", plain, `"@query-param";name=""`, "", refusal.ProofIncomplete},
		{"h", "/path", `"@query-param";name="a"`, "", refusal.ProofIncomplete},
		{"h", "/?a=1", `"@query-param";name="%61"`, "", refusal.ProofIncomplete},
		{"h", "/?a=1&a=2", `"@query-param";name="a"`, "", refusal.ProofMalformed},
		{"h", "/?a=1&%61=2", `"@query-param";name="a"`, "", refusal.ProofMalformed},
		{"h", "/?a=1&b=%zz", `"@query-param";name="a"`, "", refusal.ProofMalformed},
		{"h", "/?a=1&%ff=2", `"@query-param";name="a"`, "", refusal.ProofMalformed},
		{"h", "/?a=1" + strings.Repeat("&", 255), `"@query-param";name="a"`, "1", ""},
		{"h", "/?a=1" + strings.Repeat("&", 256), `"@query-param";name="a"`, "", refusal.ProofMalformed},
	}
	for _, tt := range tests {
		m := httpsig.Message{Method: "POST", Authority: tt.host, Target: tt.target}
		got, err := httpsig.Value(m, tt.component)
		if got != tt.want {
			t.Errorf("%s of %.80q: want %q, found %q", tt.component, tt.target, tt.want, got)
		}
		wantReason(t, err, tt.reason)
	}
}
