package httpsig

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"

	"github.com/dunglas/httpsfv"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

// contentDigest is the field that stands for the body (RFC 9530).
const contentDigest = "content-digest"

// digests are those of the body that are known here; all nil: none is covered.
type digests struct {
	sha256, sha512 []byte
}

// readDigests reads Content-Digest where it is covered.
func (v *Verifier) readDigests(covered []component, m Message) (digests, error) {
	if !covers(covered, contentDigest) {
		return digests{}, nil
	}
	if m.Body == nil {
		return digests{}, errUnseen()
	}
	lines := m.Header[headers.ContentDigest]
	if len(lines) == 0 {
		return digests{}, refusal.New(refusal.ProofIncomplete, "want the covered field %q in the request, found none", contentDigest)
	}
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

// digest is nil when there is none of that name.
func digest(d *httpsfv.Dictionary, name string, size int) ([]byte, error) {
	member, there := d.Get(name)
	if !there {
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

// checkBody asks for the body where its digest is covered, whether or not there
// should be any, and compares each digest.
func (d digests) checkBody(m Message) error {
	if d.none() {
		if m.HasBody {
			return refusal.New(refusal.ProofDigest, "want a digest of the request's content, found none")
		}
		return nil
	}
	if m.Body == nil {
		return errUnseen()
	}
	body, err := m.Body()
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(body); d.sha256 != nil && !bytes.Equal(sum[:], d.sha256) {
		return refusal.New(refusal.ProofDigest, "want content of the sha-256 that was signed, found other content of %d bytes", len(body))
	}
	if d.sha512 == nil {
		return nil
	}
	if sum := sha512.Sum512(body); !bytes.Equal(sum[:], d.sha512) {
		return refusal.New(refusal.ProofDigest, "want content of the sha-512 that was signed, found other content of %d bytes", len(body))
	}
	return nil
}

// errUnseen is for ways in on which the content does not come along.
func errUnseen() error {
	return refusal.New(refusal.ProofDigest, "want content to compare with its digest, found that it is not seen here").
		WithHint("This gateway does not see the content of requests: only those without any, GET, HEAD and DELETE, can be proven, without Content-Digest")
}

// digestOf is the value of Content-Digest for a body.
func digestOf(body []byte) (string, error) {
	sum := sha256.Sum256(body)
	d := httpsfv.NewDictionary()
	d.Add("sha-256", httpsfv.NewItem(sum[:]))
	return httpsfv.Marshal(d)
}
