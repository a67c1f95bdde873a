package httpsig

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Statement is a parsed signature that has not been verified, and the message it belongs
// to. Only [Verifier.Read] creates a valid one; [Verifier.Check] refuses the zero value.
type Statement struct {
	method, target, authority string // copied from the message

	now, read time.Time // time of Read: the caller's clock, and the monotonic clock

	base             []byte // signature base; nil for the zero value
	signature        []byte
	created, expires time.Time
	nonce            string
	keyID            string
	hasAlg           bool      // whether the alg parameter is present
	algorithm        algorithm // value of the alg parameter
	digests          digests
}

// parsedSignature is a signature with certgate's tag. Its statement has the signature and
// the parameters only.
type parsedSignature struct {
	statement Statement
	covered   []component
	params    string // value of @signature-params
}

// parseSignature parses Signature-Input and Signature in any valid form.
func parseSignature(h http.Header) (p parsedSignature, err error) {
	found, err := findTagged(h)
	if err != nil {
		return parsedSignature{}, err
	}
	p.params = found.params
	if p.statement, err = newStatement(found); err != nil {
		return parsedSignature{}, err
	}
	p.covered, err = components(found.list.Items)
	return p, err
}

// taggedSignature is the signature with certgate's tag, as found in a message.
type taggedSignature struct {
	list      httpsfv.InnerList
	params    string // serialized list, the value of @signature-params
	signature []byte
}

// HasSignature reports whether a message has a signature field, whose content may be invalid.
// Without one, verifying the message ends with the reason ProofMissing.
func HasSignature(h http.Header) bool {
	return !isBlank(h[headers.SignatureInput]) || !isBlank(h[headers.Signature])
}

// findTagged parses Signature-Input and Signature (RFC 9421, section 4) and returns the
// signature with certgate's tag.
func findTagged(h http.Header) (taggedSignature, error) {
	inputs, signatures := h[headers.SignatureInput], h[headers.Signature]
	switch {
	case !HasSignature(h):
		return taggedSignature{}, refusal.New(refusal.ProofMissing, "want a signature, found none")
	case isBlank(inputs):
		return taggedSignature{}, refusal.New(refusal.ProofMalformed, "want Signature-Input with Signature, found none")
	case isBlank(signatures):
		return taggedSignature{}, refusal.New(refusal.ProofMalformed, "want Signature with Signature-Input, found none")
	}
	f, label, err := findInput(inputs)
	if err != nil {
		return taggedSignature{}, err
	}
	f.signature, err = findSignature(label, signatures)
	return f, err
}

// findInput returns the member of Signature-Input with certgate's tag, and its label.
// Exactly one member must have the tag.
func findInput(lines []string) (f taggedSignature, label string, err error) {
	d, canonical, err := dictionary(headers.SignatureInput, lines)
	if err != nil {
		return taggedSignature{}, "", err
	}
	matches, untagged := 0, false
	for _, name := range d.Names() {
		list, tag, err := parseMember(d, name)
		if err != nil {
			return taggedSignature{}, "", err
		}
		untagged = untagged || tag == nil
		if tag != nil && *tag == Tag {
			f.list, label = list, name
			matches++
		}
	}
	if err := checkTagCount(matches, untagged); err != nil {
		return taggedSignature{}, "", err
	}
	if len(d.Names()) == 1 {
		f.params = canonical[len(label)+len("="):]
		return f, label, nil
	}
	if f.params, err = httpsfv.Marshal(f.list); err != nil {
		return taggedSignature{}, "", refusal.New(refusal.ProofMalformed, "want serializable signature parameters, found %v", err)
	}
	return f, label, nil
}

// parseMember returns the component list of one signature and its tag, or a nil tag if the
// signature has none.
func parseMember(d *httpsfv.Dictionary, name string) (httpsfv.InnerList, *string, error) {
	member, _ := d.Get(name)
	list, ok := member.(httpsfv.InnerList)
	if !ok {
		return httpsfv.InnerList{}, nil, refusal.New(refusal.ProofMalformed, "want a list of components for %.80q", name)
	}
	tag, tagged, err := stringParam(list.Params, "tag")
	if err != nil || !tagged {
		return list, nil, err
	}
	return list, &tag, nil
}

func checkTagCount(matches int, untagged bool) error {
	switch {
	case matches == 1:
		return nil
	case matches > 1:
		return refusal.New(refusal.ProofMalformed, "want one signature with tag %q, found %d", Tag, matches)
	case untagged:
		return refusal.New(refusal.ProofIncomplete, "want a signature with tag %q, found one without a tag", Tag)
	}
	return refusal.New(refusal.ProofMissing, "want a signature with tag %q, found only other tags", Tag)
}

func findSignature(label string, lines []string) ([]byte, error) {
	d, _, err := dictionary(headers.Signature, lines)
	if err != nil {
		return nil, err
	}
	member, _ := d.Get(label)
	item, ok := member.(httpsfv.Item)
	if !ok {
		return nil, refusal.New(refusal.ProofMalformed, "want a signature for %.80q, found none", label)
	}
	signature, ok := item.Value.([]byte)
	if !ok || len(item.Params.Names()) > 0 {
		return nil, refusal.New(refusal.ProofMalformed, "want the signature %.80q to be a byte sequence without parameters", label)
	}
	return signature, nil
}

// maxNonce is the maximum length of a nonce in characters.
const maxNonce = 128

// newStatement parses the signature parameters (RFC 9421, section 2.3). It ignores the
// values of unknown parameters, but the signature base contains these parameters too.
func newStatement(f taggedSignature) (Statement, error) {
	s := Statement{signature: f.signature}
	params := f.list.Params
	var err error
	if s.created, err = timeParam(params, "created"); err != nil {
		return Statement{}, err
	}
	if s.expires, err = timeParam(params, "expires"); err != nil {
		return Statement{}, err
	}
	if !s.validLifetime() {
		return Statement{}, refusal.New(refusal.ProofMalformed, "want expires 1 to %.0f seconds after created, found %d and %d",
			MaxLifetime.Seconds(), s.expires.Unix(), s.created.Unix())
	}
	if s.nonce, err = requiredString(params, "nonce"); err != nil {
		return Statement{}, err
	}
	if !s.validNonce() {
		return Statement{}, refusal.New(refusal.ProofMalformed, "want a nonce of 1 to %d characters, found %d", maxNonce, len(s.nonce))
	}
	if s.keyID, err = requiredString(params, "keyid"); err != nil {
		return Statement{}, err
	}
	name, named, err := stringParam(params, "alg")
	s.algorithm, s.hasAlg = algorithm(name), named
	return s, err
}

func (s *Statement) validLifetime() bool {
	lifetime := s.expires.Sub(s.created)
	return 0 < lifetime && lifetime <= MaxLifetime
}

func (s *Statement) validNonce() bool { return 1 <= len(s.nonce) && len(s.nonce) <= maxNonce }

// stringParam returns an optional string parameter and whether it is present.
func stringParam(params *httpsfv.Params, name string) (value string, present bool, err error) {
	raw, present := params.Get(name)
	if !present {
		return "", false, nil
	}
	value, ok := raw.(string)
	if !ok {
		return "", true, refusal.New(refusal.ProofMalformed, "want the parameter %s to be a string", name)
	}
	return value, true, nil
}

// requiredString returns a required string parameter.
func requiredString(params *httpsfv.Params, name string) (string, error) {
	value, present, err := stringParam(params, name)
	if err == nil && !present {
		err = errNoParameter(name)
	}
	return value, err
}

// timeParam returns a required time parameter, in whole seconds since the Unix epoch.
func timeParam(params *httpsfv.Params, name string) (time.Time, error) {
	raw, present := params.Get(name)
	if !present {
		return time.Time{}, errNoParameter(name)
	}
	seconds, ok := raw.(int64)
	if !ok {
		return time.Time{}, refusal.New(refusal.ProofMalformed, "want the parameter %s to be an integer", name)
	}
	return time.Unix(seconds, 0), nil
}

func errNoParameter(name string) error {
	return refusal.New(refusal.ProofIncomplete, "want the parameter %s, found none", name)
}

// checkMessage refuses the zero Statement, and a message other than the one passed to
// Read.
func (s Statement) checkMessage(m Message) error {
	if s.base == nil {
		return refusal.New(refusal.ProofInvalid, "want a signature that was read, found the zero value")
	}
	if s.method != m.Method || s.target != m.Target || s.authority != m.Authority {
		return refusal.New(refusal.ProofInvalid, "want the message that was passed to Read, found another")
	}
	return nil
}

// later returns the later of now and the time of Read plus the time elapsed since. A
// caller that takes the time once per request therefore cannot accept an expired
// signature.
func (s Statement) later(now time.Time) time.Time {
	if since := s.now.Add(time.Since(s.read)); since.After(now) {
		return since
	}
	return now
}

// verify verifies the signature with each supported algorithm of the key, or with only
// the algorithm in alg if the signature has that parameter.
func (s Statement) verify(key any, supported []algorithm) error {
	tried := false
	for _, a := range supported {
		if s.hasAlg && s.algorithm != a {
			continue
		}
		tried = true
		if a.verify(key, s.base, s.signature) {
			return nil
		}
	}
	if !tried {
		return refusal.New(refusal.ProofInvalid, "want alg to be one of the key's algorithms %q, found %.80q", supported, s.algorithm)
	}
	return refusal.New(refusal.ProofInvalid, "want a signature over this request by the certificate's key, found another")
}

// checkKeyID compares keyid with the ID of the client's key. Two forms are accepted:
// hex, and "sha256/" with base64, as `certgate inspect` prints it.
func checkKeyID(found string, own trust.KeyID) error {
	var text [2 * len(own)]byte
	hex.Encode(text[:], own[:])
	if found == string(text[:]) || found == "sha256/"+base64.StdEncoding.EncodeToString(own[:]) {
		return nil
	}
	return refusal.New(refusal.ProofInvalid, "want keyid %s of the certificate's key, found %.80q", own, found)
}
