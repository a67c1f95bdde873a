package httpsig

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// contentDigest is the name of the field with the digests of the body (RFC 9530).
const contentDigest = "content-digest"

// digests holds the signed digests of the body in the supported algorithms. A nil slice
// means that the request has no digest of that algorithm; both are nil if Content-Digest
// is not covered.
type digests struct {
	sha256, sha512 []byte
}

// readDigests parses Content-Digest if the signature covers it. At least one supported
// algorithm is required.
func (v *Verifier) readDigests(covered []component, m Message) (digests, error) {
	if !covers(covered, contentDigest) {
		return digests{}, nil
	}
	if m.Body == nil {
		return digests{}, errBodyUnavailable()
	}
	lines := m.Header[headers.ContentDigest]
	if len(lines) == 0 {
		return digests{}, refusal.New(refusal.ProofIncomplete, "want the covered field %q in the request, found none", contentDigest)
	}
	if known, ok := readCanonicalDigest(lines); ok {
		return known, nil
	}
	return parseDigests(lines)
}

// parseDigests parses the lines of Content-Digest.
func parseDigests(lines []string) (digests, error) {
	d, _, err := dictionary(headers.ContentDigest, lines)
	if err != nil {
		return digests{}, err
	}
	var known digests
	if known.sha256, err = digest(d, "sha-256", sha256.Size); err != nil {
		return digests{}, err
	}
	if known.sha512, err = digest(d, "sha-512", sha512.Size); err != nil {
		return digests{}, err
	}
	if known.none() {
		return digests{}, refusal.New(refusal.ProofDigest, "want a sha-256 or sha-512 digest, found %.80q", firstFew(d.Names()))
	}
	return known, nil
}

// digest returns the digest with that name, or nil if the field has none.
func digest(d *httpsfv.Dictionary, name string, size int) ([]byte, error) {
	member, present := d.Get(name)
	if !present {
		return nil, nil
	}
	item, ok := member.(httpsfv.Item)
	if ok {
		if sum, ok := item.Value.([]byte); ok && len(sum) == size {
			return sum, nil
		}
	}
	return nil, refusal.New(refusal.ProofMalformed, "want the digest %s to be a sequence of %d bytes", name, size)
}

func (d digests) none() bool { return d.sha256 == nil && d.sha512 == nil }

// checkBody compares the body with each signed digest. It reads the body whenever a
// digest is signed, even if HasBody is false.
func (d digests) checkBody(m Message) error {
	if d.none() {
		if m.HasBody {
			return refusal.New(refusal.ProofDigest, "want a digest of the request's content, found none")
		}
		return nil
	}
	if m.Body == nil {
		return errBodyUnavailable()
	}
	body, err := m.Body()
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(body); d.sha256 != nil && !bytes.Equal(sum[:], d.sha256) {
		return refusal.New(refusal.ProofDigest, "want content that matches the signed sha-256 digest, found other content of %d bytes", len(body))
	}
	if d.sha512 == nil {
		return nil
	}
	if sum := sha512.Sum512(body); !bytes.Equal(sum[:], d.sha512) {
		return refusal.New(refusal.ProofDigest, "want content that matches the signed sha-512 digest, found other content of %d bytes", len(body))
	}
	return nil
}

// errBodyUnavailable returns the refusal for a request whose content is not available to the
// gateway, for example because an external authorization call does not include it.
func errBodyUnavailable() error {
	return refusal.New(refusal.ProofDigest, "want the content of the request to compare it with its digest, found it unavailable").
		WithHint("This gateway does not receive the content of requests: sign only requests without content (GET, HEAD or DELETE), and do not cover Content-Digest")
}

// digestOf returns the Content-Digest value for a body.
func digestOf(body []byte) (string, error) {
	sum := sha256.Sum256(body)
	d := httpsfv.NewDictionary()
	d.Add("sha-256", httpsfv.NewItem(sum[:]))
	return httpsfv.Marshal(d)
}
