package certheader_test

import (
	"bytes"
	"encoding/asn1"
	"runtime"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// floodValues returns values of the maximum size that are cheap to generate.
func floodValues(f files) map[string]string {
	fill := func(prefix, s string) string {
		return prefix + strings.Repeat(s, limit/len(s)+1)[:limit-len(prefix)]
	}
	leaf := base64Of(f.leaf.der)
	head := "-----BEGIN CERTIFICATE----- "
	return map[string]string{
		"commas":                   fill("M", ","),
		"commas after DER":         fill(leaf, ","),
		"begin lines":              fill("", "-----BEGIN"),
		"begin lines, spaced":      fill("", head),
		"begin lines, percent":     fill("", nginxEscape(begin)),
		"begin lines, base64":      fill("", base64Of([]byte("-----BEGIN"+"\n-----BEGIN"))),
		"empty blocks":             fill("", head+"-----END CERTIFICATE----- "),
		"dashes":                   fill("", "-"),
		"dashes, percent":          fill("", "%2D"),
		"percents":                 fill("-----BEGIN", "%"),
		"percents in XFCC":         fill("Cert=", "%"),
		"spaces":                   fill(head, " "),
		"short lines":              fill(head, "A "),
		"tabs":                     fill(strings.TrimSpace(head), "\t"),
		`\n`:                       fill("-----BEGIN CERTIFICATE-----", `\n`),
		"quotes":                   fill("", `"`),
		"quotes in XFCC":           fill("Cert=", `"`),
		"empty values in XFCC":     fill("", `URI="";`),
		"escaped values in XFCC":   fill("", `URI="\"";`),
		"fields in XFCC":           fill("", "DNS=;"),
		"fields in XFCC, capitals": fill("", "By=;BY=;"),
		"equals signs":             fill("Cert", "="),
		"a long key":               fill("", "C") + "=",
		"backslashes":              fill("", `\`),
		"backslashes in XFCC":      fill(`Subject="`, `\`),
		"backslashes in PEM":       fill(head, `\`),
		"colons":                   fill("", ":"),
		"M":                        fill("", "M"),
		"LS0t":                     fill("", "LS0t"),
		"nested sequences":         fill("", "MIAw"),
		"NULs after PEM":           fill(f.values["nginx-escaped"], "\x00"),
	}
}

// TestFloods checks that refusing such values needs few allocations and little memory.
// Both do not depend on the speed of the machine.
func TestFloods(t *testing.T) {
	const runs, allocations, copies = 20, 12, 8
	for name, value := range floodValues(readFiles(t)) {
		t.Run(name, func(t *testing.T) {
			values := []string{value}
			parse := func() {
				if _, err := certheader.Parse(values, limit+1); err == nil {
					t.Fatal("want it refused, found it accepted")
				}
			}
			if n := testing.AllocsPerRun(runs, parse); n > allocations {
				t.Errorf("want at most %d allocations, found %v", allocations, n)
			}
			if n := bytesPerRun(runs, parse); n > copies*limit {
				t.Errorf("want at most %d bytes allocated, found %d", copies*limit, n)
			}
		})
	}
}

func bytesPerRun(runs uint64, f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// TestLargeCertificate checks that the cost of parsing a certificate with a large name is
// at most proportional to its size.
func TestLargeCertificate(t *testing.T) {
	f := readFiles(t)
	half, whole := certificateOf(t, f.leaf, 1200), certificateOf(t, f.leaf, 1800)
	cost := func(der []byte) float64 {
		values := []string{base64Of(der)}
		return testing.AllocsPerRun(5, func() {
			if _, err := certheader.Parse(values, limit); err != nil {
				t.Fatalf("refused: %v", err)
			}
		})
	}
	perByte := cost(half) / float64(len(half))
	if got, want := cost(whole), 1.25*perByte*float64(len(whole)); got > want {
		t.Errorf("want at most %.0f allocations for %d bytes, found %.0f", want, len(whole), got)
	}
}

// TestTooManyElements checks both sides of the limit of 650 ASN.1 elements, for one
// certificate and for a chain.
func TestTooManyElements(t *testing.T) {
	f := readFiles(t)
	largest := len(f.leaf.der)
	reason := func(ders ...[]byte) refusal.Reason {
		values := make([]string, len(ders))
		for i, der := range ders {
			values[i] = base64Of(der)
		}
		_, err := certheader.Parse([]string{strings.Join(values, ",")}, limit)
		if d := refusal.Of(err); d != nil {
			return d.Reason
		}
		return ""
	}
	for reason(certificateOf(t, f.leaf, largest+13)) == "" {
		largest += 13
	}
	// One organizational unit has 13 bytes and counts as five elements.
	if units := (largest - len(f.leaf.der)) / 13; units < 100 || units > 150 {
		t.Errorf("found %d units accepted, want 100 to 150", units)
	}
	if got := reason(certificateOf(t, f.leaf, largest+13)); got != refusal.CredentialTooLarge {
		t.Errorf("one unit more: want %s, found %q", refusal.CredentialTooLarge, got)
	}
	half := len(f.leaf.der) + (largest-len(f.leaf.der))/2
	if got := reason(certificateOf(t, f.leaf, half), certificateOf(t, f.leaf, largest)); got != refusal.CredentialTooLarge {
		t.Errorf("a chain: want %s, found %q", refusal.CredentialTooLarge, got)
	}
}

// certificateOf returns a certificate of about size bytes, most of them organizational
// units of its issuer. Its signature is not valid, which Parse does not check.
func certificateOf(tb testing.TB, f fixture, size int) []byte {
	tb.Helper()
	tbs, algorithm, signature := f.elements(tb)
	fields := elementsOf(tb, tbs.Bytes) // version, serial, algorithm, issuer, …
	unit := []byte{0x31, 11, 0x30, 9, 6, 3, 0x55, 4, 11, 0x0c, 2, 'a', 'b'}
	fields[3] = sequence(tb, bytes.Repeat(unit, (size-len(f.der))/len(unit)))
	return sequence(tb, sequence(tb, fields...), algorithm.FullBytes, signature.FullBytes)
}

func elementsOf(tb testing.TB, content []byte) [][]byte {
	tb.Helper()
	var elements [][]byte
	for len(content) > 0 {
		var e asn1.RawValue
		rest, err := asn1.Unmarshal(content, &e)
		if err != nil {
			tb.Fatal(err)
		}
		elements, content = append(elements, e.FullBytes), rest
	}
	return elements
}

// BenchmarkParse measures Parse, which runs for every request before the sender is known.
// Its cost is therefore work that unknown senders can cause.
func BenchmarkParse(b *testing.B) {
	f := newFixture(b, "rsa")
	for _, form := range certheader.Forms() {
		values := []string{certheader.Encode(form, f.der)}
		b.Run(string(form), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := certheader.Parse(values, limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFlood measures Parse with values that are cheap to generate.
func BenchmarkFlood(b *testing.B) {
	f := readFiles(b)
	for name, value := range floodValues(f) {
		values := []string{value}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := certheader.Parse(values, limit+1); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
	values := []string{base64Of(certificateOf(b, f.leaf, 1800))}
	b.Run("the largest certificate, accepted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := certheader.Parse(values, limit); err != nil {
				b.Fatal(err)
			}
		}
	})
}
