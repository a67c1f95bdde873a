package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/x509diag"
)

// maxInput bounds what a command reads from a file or standard input.
const maxInput = 1 << 20

// readInput reads a file, or standard input for "-". The error is a [usageError]
// if the file is missing, unreadable or larger than [maxInput].
func readInput(name string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageError{err}
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, usageError{err}
	}
	if len(text) > maxInput {
		return nil, usageError{fmt.Errorf("%s: want at most %d bytes, found more", inputName(name), maxInput)}
	}
	return text, nil
}

// inputName is what an error calls the input.
func inputName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// readCertificates reads every certificate of a file in order: PEM, DER, or a
// value of the gateway's header. The gateway refuses other text and PEM blocks
// beside the certificates; this function skips them.
func readCertificates(name string, stdin io.Reader) ([]*x509.Certificate, error) {
	text, err := readInput(name, stdin)
	if err != nil {
		return nil, err
	}
	return parseCertificates(name, text)
}

// readClient reads a client's certificate and its chain, and refuses those that the
// gateway could not read in any form.
func readClient(name string, stdin io.Reader) ([]*x509.Certificate, error) {
	certs, err := readCertificates(name, stdin)
	if err != nil {
		return nil, err
	}
	if len(certs) > certheader.MaxCertificates {
		return nil, fmt.Errorf("%s: want at most %d certificates, found %d", inputName(name), certheader.MaxCertificates, len(certs))
	}
	value := certheader.Encode(certheader.Base64DER, rawOf(certs)...)
	if _, err := certheader.Parse([]string{value}, len(value)); err != nil {
		return nil, fmt.Errorf("%s: the gateway would refuse it: %w", inputName(name), err)
	}
	return certs, nil
}

func rawOf(certs []*x509.Certificate) [][]byte {
	ders := make([][]byte, len(certs))
	for i, c := range certs {
		ders[i] = c.Raw
	}
	return ders
}

// parseCertificates is readCertificates for the content of a file.
func parseCertificates(name string, text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	var others []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			others = append(others, block.Type)
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", inputName(name), len(certs)+1, explained(block.Bytes, err))
		}
		certs = append(certs, cert)
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case len(others) > 0:
		return nil, fmt.Errorf("%s: want a certificate, found %.200q: %s", inputName(name), others, remedy(others[0]))
	}
	certs, err := unarmoured(text)
	if err != nil {
		return nil, fmt.Errorf("%s: want a certificate as PEM, DER or header value, found %s", inputName(name), found(text, err))
	}
	return certs, nil
}

// explained returns the reason why crypto/x509 cannot read a certificate in
// operators' terms, or err where package x509diag knows none.
func explained(der []byte, err error) error {
	if fault, ok := x509diag.Unreadable(der); ok {
		return fmt.Errorf("it has %s, which is not supported: %s", fault.Found, fault.Remedy)
	}
	return err
}

// remedy says where the certificate is, given the type of the PEM block that is
// in its place.
func remedy(blockType string) string {
	switch {
	case strings.HasSuffix(blockType, "PRIVATE KEY"):
		return "the certificate over this key is in another file, and the key stays where it is"
	case strings.HasSuffix(blockType, "CERTIFICATE REQUEST"):
		return "the operator makes a certificate of it: certgate issue --client NAME --csr FILE"
	case strings.HasSuffix(blockType, "PUBLIC KEY"):
		return "certgate keys shows public keys; the certificate over this one is in another file"
	case strings.HasPrefix(blockType, "PKCS7"):
		return "openssl pkcs7 -in FILE -print_certs takes the certificates out"
	default:
		return "want a block that begins with BEGIN CERTIFICATE"
	}
}

// unarmoured reads DER or a header value.
func unarmoured(text []byte) ([]*x509.Certificate, error) {
	if cert, err := x509.ParseCertificate(text); err == nil {
		return []*x509.Certificate{cert}, nil
	}
	value := strings.TrimSpace(string(text))
	if !utf8.Valid(text) { // DER of something else
		value = base64.StdEncoding.EncodeToString(text)
	}
	chain, err := certheader.Parse([]string{value}, maxInput)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{chain.Leaf}, chain.Intermediates...), nil
}

// found describes what is no certificate, without quoting it: it may be a key.
func found(text []byte, err error) string {
	refused := refusal.Of(err)
	switch {
	case len(text) == 0:
		return "nothing"
	case refused != nil && refused.Reason == refusal.CredentialPrivateKey:
		return "a private key: " + remedy("PRIVATE KEY") + "; of a PKCS #12 file openssl pkcs12 -in FILE -clcerts -nokeys takes the certificate out"
	case refused == nil || refused.Hint == "":
		return fmt.Sprintf("none in %d bytes", len(text))
	default:
		return fmt.Sprintf("none that it can use in %d bytes. %s", len(text), refused.Hint)
	}
}

// newFile is one file that a command makes.
type newFile struct {
	name string
	text []byte
	mode os.FileMode
}

const (
	private os.FileMode = 0o600
	public  os.FileMode = 0o644
)

// writeNew writes all files or, where one of them exists or cannot be written,
// none. What is there is never overwritten, for it may be the only copy of a
// key, and a link is not followed. What a failed run wrote is removed again:
// half a pair of files would be in the way of the next one.
func writeNew(files ...newFile) error {
	for _, f := range files {
		if _, err := os.Lstat(f.name); err == nil {
			return fmt.Errorf("%s exists: nothing is overwritten, nothing was written", f.name)
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for i, f := range files {
		if err := writeOne(f); err != nil {
			return errors.Join(err, remove(files[:i]))
		}
	}
	return nil
}

// writeOne makes a file that did not exist and brings it to the disk, or leaves
// none.
func writeOne(f newFile) error {
	w, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	_, err = w.Write(f.text)
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(err, os.Remove(f.name))
	}
	return nil
}

// remove takes back files that this run has made.
func remove(files []newFile) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, os.Remove(f.name))
	}
	return errors.Join(errs...)
}
