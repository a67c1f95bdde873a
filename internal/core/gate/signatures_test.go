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

// ledger remembers nonces in the plainest way.
type ledger map[string]bool

func (l ledger) Use(n httpsig.Nonce) error {
	key := n.Key.String() + n.Value
	if l[key] {
		return refusal.New(refusal.ProofReplayed, "again")
	}
	l[key] = true
	return nil
}

// stage is a gate, one client of it with its key, and what the gate did.
type stage struct {
	*gate.Gate

	nonces  ledger
	guarded []refusal.Reason // the outcome of each check that the guard let pass
	names   []string         // whose proof the guard heard of
	signer  *httpsig.Signer
	header  string
	body    string
	bodies  int // how often the body was asked for
}

// newStage has a rule for each path: "/require", "/observe", "/off" and "/unsaid".
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

// bearer asks to post to the path.
func (s *stage) bearer(path string) gate.Request {
	return gate.Request{
		Time: now, Credential: []string{s.header}, Method: "POST", Target: path, Auth: gate.Bearer,
		Authority: "app.example", Header: http.Header{"X-Ssl-Auth": {s.header}}, HasBody: true,
		Body: bodyFunc(func(client string) ([]byte, error) {
			if client != "mail" {
				return nil, errors.New("whose?")
			}
			s.bodies++
			return []byte(s.body), nil
		}),
	}
}

// signed is the same with a signature.
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

// want decides about r.
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
		t.Errorf("%s: want %q at %s with %s and %q on record, found %q at %s with %s and %q (%v)",
			r.Target, reason, last, auth, would, found, d.Last, d.Auth, refused, d.Refusal)
	}
	if (d.Authority == "app.example") != (auth == gate.Signed) || auth != gate.Signed && d.Authority != "" {
		t.Errorf("%s: want the host where the request is signed, and only there, found %q", r.Target, d.Authority)
	}
	return d
}

// TestProofIsAsked where the rule wants it, or the setting in its place.
func TestProofIsAsked(t *testing.T) {
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

// TestProofFailsClosed: nobody to judge signatures, and no possession shown.
func TestProofFailsClosed(t *testing.T) {
	s := newStage(t, access.ProofOff)
	s.Signatures = gate.SignaturePolicy{}
	if d := s.Decide(s.signed(t, "/require")); d.Refusal == nil || d.Grant.Valid() {
		t.Error("no verifier: want a refusal, found none")
	}
	s = newStage(t, "always")
	if d := s.Decide(s.bearer("/unsaid")); d.Refusal == nil || d.Refusal.Reason != refusal.ProofMissing {
		t.Errorf("a setting that nobody knows: want proof_missing, found %v", d.Refusal)
	}
	r := newStage(t, access.ProofOff).bearer("/require")
	r.Auth = "MTLS"
	s = newStage(t, access.ProofOff)
	r.Credential, r.Header = []string{s.header}, http.Header{}
	if d := s.Decide(r); d.Refusal == nil {
		t.Error("another word than mtls: want a refusal, found none")
	}
}

// TestProofOfAHandshake: possession was shown, and nothing is spent.
func TestProofOfAHandshake(t *testing.T) {
	s := newStage(t, access.ProofRequire)
	r := s.signed(t, "/require")
	r.Auth = gate.MTLS
	s.want(t, r, "", gate.Rate, gate.MTLS, "")
	if len(s.nonces) != 0 || len(s.guarded) != 0 || s.bodies != 0 {
		t.Errorf("want nothing asked and spent, found %d nonces, %d checks and %d bodies", len(s.nonces), len(s.guarded), s.bodies)
	}
}

// TestProofSpends: who fails before spends no nonce, and who fails here no token.
func TestProofSpends(t *testing.T) {
	s := newStage(t, access.ProofRequire)
	r := s.signed(t, "/require")

	other := r
	other.Method = "DELETE"
	s.want(t, other, refusal.AccessDenied, gate.Access, gate.Bearer, "")
	other = r
	other.Authority = "sister.example"
	s.want(t, other, refusal.ProofInvalid, gate.Proof, gate.Bearer, "")
	if s.bodies != 0 {
		t.Errorf("want no body read for a signature that is not good, found %d", s.bodies)
	}
	s.body = "ydob"
	s.want(t, r, refusal.ProofDigest, gate.Proof, gate.Bearer, "")
	s.body = "body"
	if len(s.nonces) != 0 {
		t.Errorf("want no nonce spent, found %d", len(s.nonces))
	}
	s.want(t, r, "", gate.Rate, gate.Signed, "")
	// The rule's one token is gone now, and a replay is named first.
	s.want(t, r, refusal.ProofReplayed, gate.Proof, gate.Bearer, "")
	s.want(t, s.signed(t, "/require"), refusal.RateLimited, gate.Rate, gate.Signed, "")
	want := []refusal.Reason{refusal.ProofInvalid, "", refusal.ProofDigest, "", "", refusal.ProofReplayed, ""}
	if !slices.Equal(s.guarded, want) {
		t.Errorf("want the guard to hear %q, found %q", want, s.guarded)
	}
	if i := slices.IndexFunc(s.names, func(name string) bool { return name != "mail" }); i >= 0 {
		t.Errorf("want the guard to hear whose proof it is, found %q", s.names)
	}
}

// TestProofObserved: whoever is observed is let through whatever its signature, and
// does not count as failing. A body that could not be read is not the gate's business:
// it may have been too long to be held, and long enough to be forwarded.
func TestProofObserved(t *testing.T) {
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
	broken.Body = bodyFunc(func(string) ([]byte, error) { return nil, errors.New("what?") })
	s.want(t, broken, "", gate.Rate, gate.Bearer, refusal.Internal)
	broken = s.signed(t, "/require")
	broken.Body = bodyFunc(func(string) ([]byte, error) { return nil, errors.New("what?") })
	s.want(t, broken, refusal.Internal, gate.Proof, gate.Bearer, "")
}

// TestProofObserver stands before what is observed, in the guard's place.
func TestProofObserver(t *testing.T) {
	s := newStage(t, access.ProofOff)
	spared := refusal.New(refusal.RateLimited, "spared")
	s.Signatures.Observer = func(_ netip.Addr, client string, _ func() error) error {
		if client != "mail" {
			t.Errorf("want the client's name, found %q", client)
		}
		return spared
	}
	s.want(t, s.signed(t, "/observe"), "", gate.Rate, gate.Bearer, refusal.RateLimited)
	s.want(t, s.signed(t, "/require"), "", gate.Rate, gate.Signed, "")
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
