package gate_test

import (
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/httpsig"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/tool/pki"
)

// ledger stores used nonces without a limit.
type ledger map[string]bool

func (l ledger) Use(n httpsig.Nonce) error {
	key := n.Key.String() + n.Value
	if l[key] {
		return refusal.New(refusal.ProofReplayed, "again")
	}
	l[key] = true
	return nil
}

// stage is a gate with one client, and records the calls of the gate.
type stage struct {
	*gate.Gate

	nonces  ledger
	guarded []refusal.Reason // the result of each call of the guard
	names   []string         // the client of each call of the guard
	signer  *httpsig.Signer
	header  string
	body    string
	bodies  int // the number of calls of Hold
}

// newStage returns a gate with a rule for each path: "/require", "/observe", "/off" and "/unsaid".
func newStage(t *testing.T, setting access.Proof) *stage {
	t.Helper()
	var rules []access.Rule
	for _, p := range []string{"require", "observe", "off", "unsaid"} {
		rule := access.Rule{Name: p, Clients: []string{"mail"}, Allow: []string{"POST /" + p}, Proof: p}
		if p == "unsaid" {
			rule.Proof = ""
		}
		if p == "require" {
			rule.Rate, rule.Burst = "1/h", "1"
		}
		rules = append(rules, rule)
	}
	policy, err := access.Compile(rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := trust.ParseKeyring(ca.PublicKeyPEM(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{nonces: ledger{}, body: "body"}
	s.signer, s.header = newSigner(t, ca)
	s.Gate = &gate.Gate{
		Identifier: gate.Verification{Verifier: trust.NewVerifier(keyring, nil, trust.Limits{}), Names: identity.OU.Reader(), MaxCredentialBytes: 4096},
		Policy:     policy,
		Signatures: gate.SignaturePolicy{
			Default:  setting,
			Verifier: &httpsig.Verifier{CredentialHeader: "X-SSL-Auth", Nonces: s.nonces},
			Guard: func(_ netip.Addr, client string, check func() error) error {
				err := check()
				reason := refusal.Reason("")
				if e := refusal.Of(err); e != nil {
					reason = e.Reason
				}
				s.guarded, s.names = append(s.guarded, reason), append(s.names, client)
				return err
			},
		},
	}
	return s
}

func newSigner(t *testing.T, ca *pki.Authority) (*httpsig.Signer, string) {
	t.Helper()
	key, err := pki.P256.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Request{Client: "mail", PublicKey: key.Public(), Lifetime: time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := httpsig.NewSigner(cert, key, "X-SSL-Auth")
	if err != nil {
		t.Fatal(err)
	}
	return signer, certheader.Encode(certheader.Base64DER, cert.Raw)
}

// bodyFunc is a gate.Body.
type bodyFunc func(client string) ([]byte, error)

func (f bodyFunc) Hold(client string) ([]byte, error) { return f(client) }

// bearer returns an unsigned POST request.
func (s *stage) bearer(path string) gate.Request {
	return gate.Request{
		Time: now, Credential: []string{s.header}, Method: "POST", Target: path, Auth: gate.Bearer,
		Authority: "app.example", Header: http.Header{"X-Ssl-Auth": {s.header}}, HasBody: true,
		Body: bodyFunc(func(client string) ([]byte, error) {
			if client != "mail" {
				return nil, errors.New("want the client mail")
			}
			s.bodies++
			return []byte(s.body), nil
		}),
	}
}

// signed returns a signed POST request.
func (s *stage) signed(t *testing.T, path string) gate.Request {
	t.Helper()
	r := s.bearer(path)
	fields, err := s.signer.Sign(httpsig.Message{
		Method: r.Method, Target: r.Target, Authority: r.Authority, Header: r.Header, HasBody: true,
		Body: func() ([]byte, error) { return []byte("body"), nil },
	}, httpsig.Terms{Created: now})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, fields)
	return r
}

// want checks the decision about r. would is the reason of WouldRefuse.
func (s *stage) want(t *testing.T, r gate.Request, reason refusal.Reason, last gate.Step, auth string, would refusal.Reason) gate.Decision {
	t.Helper()
	d := s.Decide(r)
	found, refused := refusal.Reason(""), refusal.Reason("")
	if d.Refusal != nil {
		found = d.Refusal.Reason
	}
	if d.WouldRefuse != nil {
		refused = d.WouldRefuse.Reason
	}
	if found != reason || d.Last != last || d.Auth != auth || refused != would || d.Grant.Valid() != (reason == "") {
		t.Errorf("%s: want %q at %s with %s and WouldRefuse %q, found %q at %s with %s and %q (%v)",
			r.Target, reason, last, auth, would, found, d.Last, d.Auth, refused, d.Refusal)
	}
	if (d.Authority == "app.example") != (auth == gate.Signed) || auth != gate.Signed && d.Authority != "" {
		t.Errorf("%s: want the host exactly if the request is signed, found %q", r.Target, d.Authority)
	}
	return d
}

// TestRequirement checks that the setting of the rule applies, or the default if the rule
// has none.
func TestRequirement(t *testing.T) {
	for _, setting := range []access.Proof{access.ProofUnsaid, access.ProofOff, access.ProofObserve, access.ProofRequire} {
		t.Run("setting "+string(setting), func(t *testing.T) {
			s := newStage(t, setting)
			s.want(t, s.bearer("/require"), refusal.ProofMissing, gate.Proof, gate.Bearer, "")
			s.want(t, s.signed(t, "/require"), "", gate.Rate, gate.Signed, "")
			s.want(t, s.bearer("/observe"), "", gate.Rate, gate.Bearer, refusal.ProofMissing)
			s.want(t, s.signed(t, "/observe"), "", gate.Rate, gate.Signed, "")
			s.want(t, s.bearer("/off"), "", gate.Rate, gate.Bearer, "")
			s.want(t, s.signed(t, "/off"), "", gate.Rate, gate.Bearer, "")
			switch setting {
			case access.ProofRequire:
				s.want(t, s.bearer("/unsaid"), refusal.ProofMissing, gate.Proof, gate.Bearer, "")
			case access.ProofObserve:
				s.want(t, s.bearer("/unsaid"), "", gate.Rate, gate.Bearer, refusal.ProofMissing)
			default:
				s.want(t, s.bearer("/unsaid"), "", gate.Rate, gate.Bearer, "")
			}
		})
	}
}

// TestFailsClosed checks that a missing verifier, an unknown setting and an unknown level
// of possession cause a refusal.
func TestFailsClosed(t *testing.T) {
	s := newStage(t, access.ProofOff)
	s.Signatures = gate.SignaturePolicy{}
	if d := s.Decide(s.signed(t, "/require")); d.Refusal == nil || d.Grant.Valid() {
		t.Error("no verifier: want a refusal, found none")
	}
	s = newStage(t, "always")
	if d := s.Decide(s.bearer("/unsaid")); d.Refusal == nil || d.Refusal.Reason != refusal.ProofMissing {
		t.Errorf("unknown setting: want proof_missing, found %v", d.Refusal)
	}
	r := newStage(t, access.ProofOff).bearer("/require")
	r.Auth = "MTLS"
	s = newStage(t, access.ProofOff)
	r.Credential, r.Header = []string{s.header}, http.Header{}
	if d := s.Decide(r); d.Refusal == nil {
		t.Error("a value other than mtls: want a refusal, found none")
	}
}

// TestHandshakeNeedsNoSignature checks that no signature is verified for a client that has
// proven possession in a TLS handshake.
func TestHandshakeNeedsNoSignature(t *testing.T) {
	s := newStage(t, access.ProofRequire)
	r := s.signed(t, "/require")
	r.Auth = gate.MTLS
	s.want(t, r, "", gate.Rate, gate.MTLS, "")
	if len(s.nonces) != 0 || len(s.guarded) != 0 || s.bodies != 0 {
		t.Errorf("want no nonce, no check and no body used, found %d, %d and %d", len(s.nonces), len(s.guarded), s.bodies)
	}
}

// TestRefusedRequestsUseNothing checks that a refused request uses no nonce if an earlier
// check fails, and no token if its signature fails.
func TestRefusedRequestsUseNothing(t *testing.T) {
	s := newStage(t, access.ProofRequire)
	r := s.signed(t, "/require")

	other := r
	other.Method = "DELETE"
	s.want(t, other, refusal.AccessDenied, gate.Access, gate.Bearer, "")
	other = r
	other.Authority = "other.example"
	s.want(t, other, refusal.ProofInvalid, gate.Proof, gate.Bearer, "")
	if s.bodies != 0 {
		t.Errorf("want no body read for an invalid signature, found %d", s.bodies)
	}
	s.body = "ydob"
	s.want(t, r, refusal.ProofDigest, gate.Proof, gate.Bearer, "")
	s.body = "body"
	if len(s.nonces) != 0 {
		t.Errorf("want no nonce used, found %d", len(s.nonces))
	}
	s.want(t, r, "", gate.Rate, gate.Signed, "")
	// The rule has no token left. The replay is refused before the rate is checked.
	s.want(t, r, refusal.ProofReplayed, gate.Proof, gate.Bearer, "")
	s.want(t, s.signed(t, "/require"), refusal.RateLimited, gate.Rate, gate.Signed, "")
	want := []refusal.Reason{refusal.ProofInvalid, "", refusal.ProofDigest, "", "", refusal.ProofReplayed, ""}
	if !slices.Equal(s.guarded, want) {
		t.Errorf("want the guard called with the results %q, found %q", want, s.guarded)
	}
	if i := slices.IndexFunc(s.names, func(name string) bool { return name != "mail" }); i >= 0 {
		t.Errorf("want every call of the guard for mail, found %q", s.names)
	}
}

// TestObservedSignatures checks that a request whose signature is only observed is granted
// with any signature, and that the guard counts no failure. A body that cannot be held is
// no reason for a refusal, because it can still be forwarded as a stream.
func TestObservedSignatures(t *testing.T) {
	s := newStage(t, access.ProofOff)
	r := s.signed(t, "/observe")
	s.want(t, r, "", gate.Rate, gate.Signed, "")
	s.want(t, r, "", gate.Rate, gate.Bearer, refusal.ProofReplayed)
	s.body = "ydob"
	s.want(t, s.signed(t, "/observe"), "", gate.Rate, gate.Bearer, refusal.ProofDigest)
	other := s.signed(t, "/observe")
	other.Header.Set("Signature", "sig1=:AA==:")
	s.want(t, other, "", gate.Rate, gate.Bearer, refusal.ProofInvalid)
	if len(s.guarded) != 0 {
		t.Errorf("want no check counted, found %q", s.guarded)
	}
	broken := s.signed(t, "/observe")
	broken.Body = bodyFunc(func(string) ([]byte, error) { return nil, refusal.New(refusal.BodyTooLarge, "too large") })
	s.want(t, broken, "", gate.Rate, gate.Bearer, refusal.BodyTooLarge)
	broken = s.signed(t, "/observe")
	broken.Body = bodyFunc(func(string) ([]byte, error) { return nil, errors.New("broken") })
	s.want(t, broken, "", gate.Rate, gate.Bearer, refusal.Internal)
	broken = s.signed(t, "/require")
	broken.Body = bodyFunc(func(string) ([]byte, error) { return nil, errors.New("broken") })
	s.want(t, broken, refusal.Internal, gate.Proof, gate.Bearer, "")
}

// TestObserver checks that Observer replaces Guard for observed signatures.
func TestObserver(t *testing.T) {
	s := newStage(t, access.ProofOff)
	skipped := refusal.New(refusal.RateLimited, "skipped")
	s.Signatures.Observer = func(_ netip.Addr, client string, _ func() error) error {
		if client != "mail" {
			t.Errorf("want the client's name, found %q", client)
		}
		return skipped
	}
	s.want(t, s.signed(t, "/observe"), "", gate.Rate, gate.Bearer, refusal.RateLimited)
	s.want(t, s.signed(t, "/require"), "", gate.Rate, gate.Signed, "")
}

// TestAccepted checks that Accepted is called for a signed request that passed every check of
// its signature, the nonce included, if the signature was required.
func TestAccepted(t *testing.T) {
	s := newStage(t, access.ProofOff)
	var accepted []string
	source := netip.MustParseAddr("192.0.2.1")
	s.Signatures.Accepted = func(from netip.Addr, client string) { accepted = append(accepted, client+" at "+from.String()) }
	decide := func(r gate.Request, reason refusal.Reason, last gate.Step, auth string) {
		t.Helper()
		r.Source = source
		s.want(t, r, reason, last, auth, "")
	}
	decide(s.signed(t, "/off"), "", gate.Rate, gate.Bearer)
	decide(s.signed(t, "/observe"), "", gate.Rate, gate.Signed)
	decide(s.bearer("/require"), refusal.ProofMissing, gate.Proof, gate.Bearer)
	wrong := s.signed(t, "/require")
	wrong.Authority = "other.example"
	decide(wrong, refusal.ProofInvalid, gate.Proof, gate.Bearer)
	signed := s.signed(t, "/require")
	s.body = "other"
	decide(signed, refusal.ProofDigest, gate.Proof, gate.Bearer)
	s.body = "body"
	if len(accepted) != 0 {
		t.Errorf("want no signature accepted, found %q", accepted)
	}
	decide(signed, "", gate.Rate, gate.Signed)
	decide(signed, refusal.ProofReplayed, gate.Proof, gate.Bearer)
	if want := []string{"mail at 192.0.2.1"}; !slices.Equal(accepted, want) {
		t.Errorf("accepted %q, want %q", accepted, want)
	}
}

// TestCertificateBeforeSignature checks that a request with an invalid certificate is refused
// for its certificate, with any signature, and that no signature of it is verified.
func TestCertificateBeforeSignature(t *testing.T) {
	s := newStage(t, access.ProofRequire)
	valid := newStage(t, access.ProofRequire).signed(t, "/require") // by another master key
	malformed := valid
	malformed.Header = valid.Header.Clone()
	malformed.Header.Set("Signature-Input", "?")
	unsigned := valid
	unsigned.Header = http.Header{}
	for name, r := range map[string]gate.Request{"valid": valid, "malformed": malformed, "no signature": unsigned} {
		t.Run(name, func(t *testing.T) {
			s.want(t, r, refusal.CertificateUntrusted, gate.Trust, gate.Bearer, "")
		})
	}
	if len(s.guarded) != 0 {
		t.Errorf("want no signature verified, found the results %q", s.guarded)
	}
}
