package certheader_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestNoSuiteHasTooManyElements parses the chains of x509-limbo, which include those of
// public websites, and of PKITS. None that is short enough for a header has too many
// elements.
func TestNoSuiteHasTooManyElements(t *testing.T) {
	t.Parallel()
	const maxBytes = 16 << 10
	for _, suite := range []string{"limbo", "pkits"} {
		checked := 0
		for _, ders := range readSuite(t, "../trust/testdata/"+suite+".jsonl.gz") {
			values := make([]string, len(ders))
			for i, der := range ders {
				values[i] = base64Of(der)
			}
			value := strings.Join(values, ",")
			if len(ders) > certheader.MaxCertificates || len(value) > maxBytes {
				continue
			}
			checked++
			_, err := certheader.Parse([]string{value}, maxBytes)
			if d := refusal.Of(err); d != nil && d.Reason == refusal.CredentialTooLarge {
				t.Errorf("%s: %v", suite, err)
			}
		}
		if checked < 100 {
			t.Errorf("%s: want at least 100 chains, found %d", suite, checked)
		}
	}
}

// readSuite returns the chains of a suite, each with the client's certificate first.
func readSuite(t *testing.T, name string) [][][]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var chains [][][]byte
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c struct {
			Leaf   []byte
			Inters [][]byte
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		chains = append(chains, append([][]byte{c.Leaf}, c.Inters...))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return chains
}
