package trust_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/trust"
)

// vector is one case of a suite; testdata/README.md describes the fields.
type vector struct {
	ID     string   `json:"id"`
	Roots  [][]byte `json:"roots"`
	Inters [][]byte `json:"inters"`
	Leaf   []byte   `json:"leaf"`
	Time   string   `json:"time"`
	CRLs   [][]byte `json:"crls"`
	Expect bool     `json:"expect"`
}

func readVectors(t *testing.T, name string) []vector {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	for d := json.NewDecoder(bufio.NewReader(unzipped)); d.More(); {
		var v vector
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

// at returns the time of the case. Without one, it returns a fixed time at which the
// certificates of the suite are valid.
func (v vector) at() (time.Time, error) {
	if v.Time == "" {
		return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), nil
	}
	return time.Parse(time.RFC3339, v.Time)
}

// verify verifies a case like the gateway does: it loads the anchors as a keyring and the
// revocation lists whose issuers are anchors, and verifies the certificate. A keyring or
// list that cannot be loaded counts as a refusal.
func (v vector) verify() error {
	now, err := v.at()
	if err != nil {
		return err
	}
	ring, err := v.keyring()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	lists, err := v.lists(ring)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	leaf, err := x509.ParseCertificate(v.Leaf)
	if err != nil {
		return fmt.Errorf("unreadable: %w", err)
	}
	var intermediates []*x509.Certificate
	for _, der := range v.Inters {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("unreadable: %w", err)
		}
		intermediates = append(intermediates, c)
	}
	_, err = trust.NewVerifier(ring, nil, trust.Limits{}).WithCRLs(lists, false).Verify(leaf, now, intermediates...)
	return err
}

// keyring returns the roots as anchors. In cases about revocation it adds the
// intermediates, because a revocation list is used only if its issuer is an anchor.
func (v vector) keyring() (*trust.Keyring, error) {
	ders := v.Roots
	if v.isAboutRevocation() {
		ders = slices.Concat(v.Roots, v.Inters)
	}
	var blocks [][]byte
	for _, der := range ders {
		blocks = append(blocks, pemOf("CERTIFICATE", der))
	}
	return trust.ParseKeyring(bytes.Join(blocks, nil), 0)
}

// isAboutRevocation reports whether the case is in a section of PKITS about revocation
// lists: basic revocation, verifying with self-issued certificates, keyUsage without
// cRLSign, distribution points and delta lists.
func (v vector) isAboutRevocation() bool {
	return slices.ContainsFunc([]string{"4.4.", "4.5.", "4.7.4 ", "4.7.5 ", "4.14.", "4.15."}, func(section string) bool {
		return strings.HasPrefix(v.ID, section)
	})
}

// lists returns the revocation lists of the case whose issuers are anchors.
func (v vector) lists(ring *trust.Keyring) (all []*trust.CRL, err error) {
	for _, der := range v.CRLs {
		list, err := x509.ParseRevocationList(der)
		isAnchors := func(a trust.Anchor) bool { return bytes.Equal(a.Certificate().RawSubject, list.RawIssuer) }
		if err == nil && !slices.ContainsFunc(ring.Anchors(), isAnchors) {
			continue
		}
		lists, err := trust.ParseCRLs(der, ring)
		if err != nil {
			return nil, err
		}
		all = append(all, lists...)
	}
	return all, nil
}

// disagreements reads the cases on which this package and a suite differ. A line that is
// not indented is a reason. The indented lines below it are cases with the result of this
// package first.
func disagreements(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	outcomes, reason := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		listed, indented := strings.CutPrefix(line, "  ")
		switch {
		case line == "" || line[0] == '#':
		case !indented:
			reason = line
		default:
			outcome, id, _ := strings.Cut(listed, " ")
			if _, again := outcomes[id]; again || reason == "" || outcome != "accepted" && outcome != "refused" {
				t.Errorf("%s: want one line per case with accepted or refused, below a reason, found %q", name, line)
			}
			outcomes[id] = outcome
		}
	}
	return outcomes
}

// TestVectors runs x509-limbo and PKITS. It fails for a disagreement that is not listed
// and for a listed case on which the suite and the package agree.
func TestVectors(t *testing.T) {
	for suite, cases := range map[string]int{"limbo": 208, "pkits": 249} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			listed := disagreements(t, suite+".txt")
			vectors := readVectors(t, suite+".jsonl.gz")
			if len(vectors) != cases {
				t.Errorf("want %d cases, found %d", cases, len(vectors))
			}
			for _, v := range vectors {
				err := v.verify()
				outcome := "accepted"
				if err != nil {
					outcome = "refused"
				}
				expected := listed[v.ID]
				delete(listed, v.ID)
				switch agrees := (err == nil) == v.Expect; {
				case !agrees && expected != outcome:
					t.Errorf("%s %s: want the suite's outcome or a reason in %s.txt, found %v", outcome, v.ID, suite, err)
				case agrees && expected != "":
					t.Errorf("%s %s: agrees with the suite, and %s.txt lists it", outcome, v.ID, suite)
				}
			}
			for id := range listed {
				t.Errorf("%s.txt lists %s, which is not a case", suite, id)
			}
		})
	}
}
