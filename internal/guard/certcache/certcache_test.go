package certcache_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/guard/certcache"
	"github.com/certgate/certgate/internal/tool/pki"
)

func TestSecondRequestIsCached(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	inner := counting(verifier(t, o))
	id := certcache.New(inner)
	value := encode(o.issue("mail"))
	first := id.Identify(claim(value), start)
	check(t, first, "mail", "")
	for range 10 {
		if again := id.Identify(claim(strings.Clone(value)), start); again != first {
			t.Errorf("found %+v, want what was found first", again)
		}
	}
	checkCalls(t, inner, 1)
}

// TestRefusalsAreNotCached checks that the inner identifier is called again after each refusal.
func TestRefusalsAreNotCached(t *testing.T) {
	o, otherCA := newTestCA(t, pki.P256, 24*time.Hour), newTestCA(t, pki.P256, 24*time.Hour)
	value := encode(o.issue("mail"))
	invalidName := sign(t, period("mail ", start, start.Add(time.Hour), false), o.ca, o.key.Public(), o.key)
	tests := []struct {
		name       string
		credential []string
		want       refusal.Reason
	}{
		{"no value", nil, refusal.CredentialMissing},
		{"an empty one", []string{""}, refusal.CredentialMissing},
		{"the same twice", []string{value, value}, refusal.CredentialDuplicated},
		{"one and an empty one", []string{value, ""}, refusal.CredentialDuplicated},
		{"an empty one and one", []string{"", value}, refusal.CredentialDuplicated},
		{"nonsense", []string{"M nonsense"}, refusal.CredentialMalformed},
		{"one byte less", []string{value[:len(value)-1]}, refusal.CredentialMalformed},
		{"one byte more", []string{value + "A"}, refusal.CredentialMalformed},
		{"too large", []string{strings.Repeat("M", limit+1)}, refusal.CredentialTooLarge},
		{"another master key", []string{encode(otherCA.issue("mail"))}, refusal.CertificateUntrusted},
		{"an invalid name", []string{encode(invalidName)}, refusal.IdentityInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := counting(verifier(t, o))
			id := certcache.New(inner)
			check(t, id.Identify(claim(value), start), "mail", "")
			for range 3 {
				check(t, id.Identify(claim(tt.credential...), start), "", tt.want)
			}
			checkCalls(t, inner, 4)
			check(t, id.Identify(claim(value), start), "mail", "")
			checkCalls(t, inner, 4)
			if n := id.Len(); n != 1 {
				t.Errorf("%d cached, want the valid one", n)
			}
		})
	}
}

// TestOneByteDiffers checks that no modified value matches a cached one.
func TestOneByteDiffers(t *testing.T) {
	o := newTestCA(t, pki.Ed25519, 24*time.Hour)
	inner := counting(verifier(t, o))
	id := certcache.New(inner)
	value := []byte(encode(o.issue("mail")))
	for range 3 { // the second hit moves the value to the recent entries
		check(t, id.Identify(claim(string(value)), start), "mail", "")
	}
	for i := range value {
		changed := []byte(string(value))
		changed[i] = 'A'
		if value[i] == 'A' {
			changed[i] = 'B'
		}
		if found := id.Identify(claim(string(changed)), start); found.Err == nil || found.Client.Valid() {
			t.Fatalf("byte %d changed: found %q", i, found.Client)
		}
	}
	checkCalls(t, inner, int64(1+len(value)))
}

// TestValidityPeriods checks that an entry is used only inside the shortest validity period of
// its verification, to the nanosecond.
func TestValidityPeriods(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	key := o.key.Public()
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	root := sign(t, period("root", at(-60), at(60), true), period("root", at(-60), at(60), true), key, o.key)
	short := sign(t, period("root", at(-10), at(10), true), period("root", at(-10), at(10), true), key, o.key)
	leaf := func(parent *x509.Certificate, minutes int) *x509.Certificate {
		return sign(t, period("mail", at(-minutes), at(minutes), false), parent, key, o.key)
	}
	between := sign(t, period("between", at(-10), at(10), true), root, key, o.key)
	rootRing, shortRing := keyring(t, pki.EncodeCertificate(root)), keyring(t, pki.EncodeCertificate(short))
	limits := trust.Limits{ClockSkew: skew}
	withCRL := func(staleOK bool) *trust.Verifier {
		lists, err := trust.ParseCRLs(o.crl(t, root, at(-10), at(10)), rootRing)
		if err != nil {
			t.Fatal(err)
		}
		return trust.NewVerifier(rootRing, nil, limits).WithCRLs(lists, staleOK)
	}
	early, late := at(-10).Add(-skew), at(10).Add(skew)
	untrusted, unknown := refusal.CertificateUntrusted, refusal.RevocationUnknown
	tests := []struct {
		name          string
		verifier      *trust.Verifier
		chain         []*x509.Certificate
		from, until   time.Time
		before, after refusal.Reason
	}{
		{"bare key", trust.NewVerifier(keyring(t, o.PublicKeyPEM()), nil, limits), []*x509.Certificate{leaf(root, 10)}, early, late, refusal.CertificateNotYetValid, refusal.CertificateExpired},
		{"no skew", trust.NewVerifier(rootRing, nil, trust.Limits{}), []*x509.Certificate{leaf(root, 10)}, at(-10), at(10), refusal.CertificateNotYetValid, refusal.CertificateExpired},
		{"CA certificate", trust.NewVerifier(rootRing, nil, limits), []*x509.Certificate{leaf(root, 10)}, early, late, refusal.CertificateNotYetValid, refusal.CertificateExpired},
		{"of a shorter CA certificate", trust.NewVerifier(shortRing, nil, limits), []*x509.Certificate{leaf(short, 30)}, early, late, untrusted, untrusted},
		{"of a shorter intermediate", trust.NewVerifier(rootRing, nil, limits), []*x509.Certificate{leaf(between, 30), between}, early, late, untrusted, untrusted},
		{"revocation list", withCRL(false), []*x509.Certificate{leaf(root, 30)}, early, at(10), unknown, unknown},
		{"stale revocation list", withCRL(true), []*x509.Certificate{leaf(root, 30)}, at(-30).Add(-skew), at(30).Add(skew), refusal.CertificateNotYetValid, refusal.CertificateExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := counting(tt.verifier)
			id := certcache.New(inner)
			credential := claim(encode(tt.chain...))
			for _, inside := range []time.Time{start, tt.from, tt.until, start} {
				check(t, id.Identify(credential, inside), "mail", "")
			}
			checkCalls(t, inner, 1)
			for _, outside := range []time.Time{tt.from.Add(-1), tt.from.Add(-time.Second), tt.from.Add(-5 * time.Minute)} {
				check(t, id.Identify(credential, outside), "", tt.before)
			}
			for _, outside := range []time.Time{tt.until.Add(1), tt.until.Add(time.Second), tt.until.Add(5 * time.Minute)} {
				check(t, id.Identify(credential, outside), "", tt.after)
			}
			checkCalls(t, inner, 7)
			for range 2 {
				check(t, id.Identify(credential, start), "mail", "")
			}
			checkCalls(t, inner, 8)
		})
	}
}

// TestReload checks that a new cache does not use results of the previous keyring.
func TestReload(t *testing.T) {
	o, next := newTestCA(t, pki.P256, 24*time.Hour), newTestCA(t, pki.P256, 24*time.Hour)
	mail := o.issue("mail")
	both := keyring(t, o.CertificatePEM(), next.CertificatePEM())
	revoked, err := trust.NewRevocations([]trust.Revocation{{Serial: fmt.Sprintf("%x", mail.SerialNumber)}})
	if err != nil {
		t.Fatal(err)
	}
	lists, err := trust.ParseCRLs(o.crl(t, o.ca, start, start.Add(time.Hour), mail), both)
	if err != nil {
		t.Fatal(err)
	}
	limits := trust.Limits{ClockSkew: skew}
	tests := []struct {
		name string
		with *trust.Verifier
		want refusal.Reason
	}{
		{"the same", trust.NewVerifier(both, nil, limits), ""},
		{"the other key only", trust.NewVerifier(keyring(t, next.CertificatePEM()), nil, limits), refusal.CertificateUntrusted},
		{"no key", trust.NewVerifier(nil, nil, limits), refusal.CertificateUntrusted},
		{"on the deny list", trust.NewVerifier(both, revoked, limits), refusal.CertificateRevoked},
		{"on the revocation list", trust.NewVerifier(both, nil, limits).WithCRLs(lists, false), refusal.CertificateRevoked},
		{"on a stale revocation list", trust.NewVerifier(both, nil, limits).WithCRLs(lists, true), refusal.CertificateRevoked},
		{"issued for too long", trust.NewVerifier(both, nil, trust.Limits{MaxLifetime: time.Minute}), refusal.CertificateLifetime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			credential := claim(encode(mail))
			old := certcache.New(counting(trust.NewVerifier(both, nil, limits)))
			check(t, old.Identify(credential, start), "mail", "")
			check(t, certcache.New(counting(tt.with)).Identify(credential, start), "mail", tt.want)
			check(t, old.Identify(credential, start), "mail", "")
		})
	}
}

// TestSpellings checks that the cached encodings of one certificate are limited and evict no other
// client. Here the encodings differ by additional certificates in the chain.
func TestSpellings(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	inner := counting(verifier(t, o))
	id := certcache.NewLimited(inner, 20*certcache.MaxWeight)
	mail, social := o.issue("mail"), o.issue("social")
	check(t, id.Identify(claim(encode(social)), start), "social", "")
	for range 300 {
		check(t, id.Identify(claim(encode(mail, o.issue("junk"))), start), "mail", "")
	}
	if n := id.Len(); n != 1+certcache.MaxSpellings {
		t.Errorf("%d cached, want one of social and %d of mail", n, certcache.MaxSpellings)
	}
	calls := inner.calls.Load()
	check(t, id.Identify(claim(encode(social)), start), "social", "")
	checkCalls(t, inner, calls)
	// A further encoding is verified each time, and accepted.
	for range 2 {
		check(t, id.Identify(claim(certheader.Encode(certheader.PercentPEM, mail.Raw)), start), "mail", "")
	}
	checkCalls(t, inner, calls+2)
}

// TestExpiredSpellingsAreNotCounted checks that an expired entry makes room for another encoding.
func TestExpiredSpellingsAreNotCounted(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	inner := counting(verifier(t, o))
	id := certcache.New(inner)
	mail := o.issue("mail")
	var values []string
	for range certcache.MaxSpellings + 1 {
		values = append(values, encode(mail, o.issue("junk")))
	}
	for _, value := range values[:certcache.MaxSpellings] {
		check(t, id.Identify(claim(value), start), "mail", "")
	}
	for _, value := range values {
		check(t, id.Identify(claim(value), mail.NotAfter.Add(skew+time.Second)), "", refusal.CertificateExpired)
	}
	if certificates, n := id.Spellings(); certificates != 0 || n != 0 || id.Len() != 0 {
		t.Errorf("%d spellings of %d certificates counted, %d cached: want none that has expired", n, certificates, id.Len())
	}
	check(t, id.Identify(claim(values[certcache.MaxSpellings:]...), start), "mail", "")
	calls := inner.calls.Load()
	check(t, id.Identify(claim(values[certcache.MaxSpellings:]...), start), "mail", "")
	checkCalls(t, inner, calls)
}

// TestForgeriesEvictNothing checks that a flood of invalid credentials leaves the cache unchanged.
func TestForgeriesEvictNothing(t *testing.T) {
	o := newTestCA(t, pki.Ed25519, 24*time.Hour)
	inner := counting(verifier(t, o))
	id := certcache.NewLimited(inner, 2*certcache.MaxWeight)
	mail := o.issue("mail")
	good := claim(encode(mail))
	check(t, id.Identify(good, start), "mail", "")
	const flood = 20_000
	for n := range flood {
		value, want := fmt.Sprintf("M%d", n), refusal.CredentialMalformed
		if n%20 == 0 { // with an invalid signature, which is verified
			forged := *mail
			forged.Raw = append([]byte(nil), mail.Raw...)
			forged.Raw[len(forged.Raw)-40] ^= byte(1 + n/20%255)
			forged.Raw[len(forged.Raw)-41] ^= byte(n / 20 / 255)
			value, want = encode(&forged), refusal.CertificateUntrusted
		}
		check(t, id.Identify(claim(value), start), "", want)
	}
	checkCalls(t, inner, 1+flood)
	certificates, values := id.Spellings()
	if id.Len() != 1 || certificates != 1 || values != 1 {
		t.Errorf("%d cached, %d spellings of %d certificates: want the valid one", id.Len(), values, certificates)
	}
	check(t, id.Identify(good, start), "mail", "")
	checkCalls(t, inner, 1+flood)
}

// TestBound checks that more valid certificates than fit stay within the limit, that the counters
// match, and that every result is correct.
func TestBound(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	const room = 20
	id := certcache.NewLimited(counting(verifier(t, o)), room*certcache.MinWeight)
	for n := range 10 * room {
		name := fmt.Sprintf("client-%d", n)
		check(t, id.Identify(claim(encode(o.issue(name))), start), name, "")
	}
	certificates, values := id.Spellings()
	if n := id.Len(); n == 0 || n >= room || certificates != n || values != n {
		t.Errorf("%d cached, %d spellings of %d certificates: want the same, below %d", n, values, certificates, room)
	}
}

// TestConcurrent uses a full cache concurrently, past the expiry of its entries.
func TestConcurrent(t *testing.T) {
	o := newTestCA(t, pki.P256, 24*time.Hour)
	id := certcache.NewLimited(counting(verifier(t, o)), 5*certcache.MinWeight)
	const clients = 12
	var names, values []string
	for n := range clients {
		names = append(names, fmt.Sprintf("client-%d", n))
		values = append(values, encode(o.issue(names[n])))
	}
	expired := start.Add(time.Hour + skew)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 400 {
				i := (n*(g+1) + g) % clients
				if n%50 == 49 {
					check(t, id.Identify(claim(values[i]), expired.Add(time.Second)), "", refusal.CertificateExpired)
					continue
				}
				check(t, id.Identify(claim(values[i]), start), names[i], "")
			}
		})
	}
	wg.Wait()
	certificates, n := id.Spellings()
	if have := id.Len(); certificates != have || n != have || have >= 5 {
		t.Errorf("%d cached, %d spellings of %d certificates: want the same, below 5", have, n, certificates)
	}
}

// TestZeroVerificationIsNotCached checks that a zero Verification refuses and caches nothing.
func TestZeroVerificationIsNotCached(t *testing.T) {
	id := certcache.New(gate.Verification{})
	for range 2 {
		check(t, id.Identify(claim("M"), start), "", refusal.CredentialTooLarge)
	}
	if n := id.Len(); n != 0 {
		t.Errorf("%d cached, want none", n)
	}
}
