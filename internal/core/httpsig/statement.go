package httpsig

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// Statement is what a signature says of itself, and of which message. Only
// [Verifier.Read] makes one; nobody has verified it.
type Statement struct {
	method, target, authority string // as the message has them

	now, read time.Time // when it was read, on the caller's clock and on one that only goes on

	base             []byte // what was signed, if the signature is right; nil for the zero value
	signature        []byte
	created, expires time.Time
	nonce            string
	keyID            string
	named            bool      // whether the message names an algorithm
	algorithm        algorithm // as it names it
	digests          digests
}

// found is the one signature of a message that is meant for certgate.
type found struct {
	list      httpsfv.InnerList
	params    string // the list as serialized, the value of @signature-params
	signature []byte
}

// find reads Signature-Input and Signature (RFC 9421, section 4).
func find(h http.Header) (found, error) {
	inputs, signatures := h[headers.SignatureInput], h[headers.Signature]
	switch {
	case blank(inputs) && blank(signatures):
		return found{}, refusal.New(refusal.ProofMissing, "want a signature, found none")
	case blank(inputs):
		return found{}, refusal.New(refusal.ProofMalformed, "want Signature-Input beside Signature, found none")
	case blank(signatures):
		return found{}, refusal.New(refusal.ProofMalformed, "want Signature beside Signature-Input, found none")
	}
	f, label, err := findInput(inputs)
	if err != nil {
		return found{}, err
	}
	f.signature, err = findSignature(label, signatures)
	return f, err
}

// findInput is the only member of Signature-Input with certgate's tag, and its
// label.
func findInput(lines []string) (f found, label string, err error) {
	d, only, err := dictionary(headers.SignatureInput, lines)
	if err != nil {
		return found{}, "", err
	}
	ours, untagged := 0, false
	for _, name := range d.Names() {
		list, tag, err := candidate(d, name)
		if err != nil {
			return found{}, "", err
		}
		untagged = untagged || tag == nil
		if tag != nil && *tag == Tag {
			f.list, label = list, name
			ours++
		}
	}
	if err := errUnlessOne(ours, untagged); err != nil {
		return found{}, "", err
	}
	if len(d.Names()) == 1 {
		f.params = only[len(label)+len("="):]
		return f, label, nil
	}
	if f.params, err = httpsfv.Marshal(f.list); err != nil {
		return found{}, "", refusal.New(refusal.ProofMalformed, "want a signature's parameters, found %v", err)
	}
	return f, label, nil
}

// candidate is one signature's list and its tag, nil for none.
func candidate(d *httpsfv.Dictionary, name string) (httpsfv.InnerList, *string, error) {
	member, _ := d.Get(name)
	list, ok := member.(httpsfv.InnerList)
	if !ok {
		return httpsfv.InnerList{}, nil, refusal.New(refusal.ProofMalformed, "want a list of components for %.80q", name)
	}
	tag, tagged, err := text(list.Params, "tag")
	if err != nil || !tagged {
		return list, nil, err
	}
	return list, &tag, nil
}

func errUnlessOne(ours int, untagged bool) error {
	switch {
	case ours == 1:
		return nil
	case ours > 1:
		return refusal.New(refusal.ProofMalformed, "want one signature with tag %q, found %d", Tag, ours)
	case untagged:
		return refusal.New(refusal.ProofIncomplete, "want a signature with tag %q, found one without tag", Tag)
	}
	return refusal.New(refusal.ProofMissing, "want a signature with tag %q, found others only", Tag)
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

// maxNonce is the longest nonce in characters.
const maxNonce = 128

// newStatement reads the parameters (RFC 9421, section 2.3). Those that are not
// known are only signed.
func newStatement(f found) (Statement, error) {
	s := Statement{signature: f.signature}
	params := f.list.Params
	var err error
	if s.created, err = moment(params, "created"); err != nil {
		return Statement{}, err
	}
	if s.expires, err = moment(params, "expires"); err != nil {
		return Statement{}, err
	}
	if life := s.expires.Sub(s.created); life <= 0 || life > MaxLifetime {
		return Statement{}, refusal.New(refusal.ProofMalformed, "want expires 1 to %.0f seconds after created, found %d and %d",
			MaxLifetime.Seconds(), s.expires.Unix(), s.created.Unix())
	}
	if s.nonce, err = neededText(params, "nonce"); err != nil {
		return Statement{}, err
	}
	if n := len(s.nonce); n < 1 || n > maxNonce {
		return Statement{}, refusal.New(refusal.ProofMalformed, "want a nonce of 1 to %d characters, found %d", maxNonce, n)
	}
	if s.keyID, err = neededText(params, "keyid"); err != nil {
		return Statement{}, err
	}
	name, named, err := text(params, "alg")
	s.algorithm, s.named = algorithm(name), named
	return s, err
}

// text is a parameter that is a string and may be absent.
func text(params *httpsfv.Params, name string) (value string, there bool, err error) {
	raw, there := params.Get(name)
	if !there {
		return "", false, nil
	}
	value, ok := raw.(string)
	if !ok {
		return "", true, refusal.New(refusal.ProofMalformed, "want the parameter %s to be a string", name)
	}
	return value, true, nil
}

func neededText(params *httpsfv.Params, name string) (string, error) {
	value, there, err := text(params, name)
	if err == nil && !there {
		err = errNoParameter(name)
	}
	return value, err
}

// moment is a parameter that is a time in whole seconds since 1970.
func moment(params *httpsfv.Params, name string) (time.Time, error) {
	raw, there := params.Get(name)
	if !there {
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

// checkMessage refuses a statement that nobody read, or of another message.
func (s Statement) checkMessage(m Message) error {
	if s.base == nil {
		return refusal.New(refusal.ProofInvalid, "want a signature that was read, found none")
	}
	if s.method != m.Method || s.target != m.Target || s.authority != m.Authority {
		return refusal.New(refusal.ProofInvalid, "want the message that was read, found another")
	}
	return nil
}

// later is the time now, but at least as long after Read as it really is: whoever
// takes the time once for a request must not accept it later for that.
func (s Statement) later(now time.Time) time.Time {
	if since := s.now.Add(time.Since(s.read)); since.After(now) {
		return since
	}
	return now
}

// verify tries the algorithms that the key is able to, or of them the one that the
// signature names.
func (s Statement) verify(key any, able []algorithm) error {
	tried := false
	for _, a := range able {
		if s.named && s.algorithm != a {
			continue
		}
		tried = true
		if a.verify(key, s.base, s.signature) {
			return nil
		}
	}
	if !tried {
		return refusal.New(refusal.ProofInvalid, "want alg to be one of %q, as the key is, found %.80q", able, s.algorithm)
	}
	return refusal.New(refusal.ProofInvalid, "want a signature over this request by the certificate's key, found another")
}

// checkKeyID wants the id in one of its two spellings: hex, or as the certificate
// is inspected.
func checkKeyID(found string, own trust.KeyID) error {
	if found == own.String() || found == "sha256/"+base64.StdEncoding.EncodeToString(own[:]) {
		return nil
	}
	return refusal.New(refusal.ProofInvalid, "want keyid %s, the certificate's key, found %.80q", own, found)
}
