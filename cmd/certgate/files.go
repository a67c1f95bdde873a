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

// maxInput is the limit, in bytes, for a file or standard input.
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

// inputName returns the name of the input for error messages.
func inputName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// readCertificates reads every certificate of a file in order. The file is PEM, DER or
// a value of the gateway's header. readCertificates skips other text and other PEM
// blocks; the gateway refuses them.
func readCertificates(name string, stdin io.Reader) ([]*x509.Certificate, error) {
	text, err := readInput(name, stdin)
	if err != nil {
		return nil, err
	}
	return parseCertificates(name, text)
}

// readClient reads a client's certificate and its chain. It refuses certificates that
// the gateway cannot read in any form.
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

// parseCertificates parses the content of a file as readCertificates does.
func parseCertificates(name string, text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	var others []string // types of other PEM blocks
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			others = append(others, block.Type)
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", inputName(name), len(certs)+1, describeParseError(block.Bytes, err))
		}
		certs = append(certs, cert)
	}
	switch {
	case len(certs) > 0:
		return certs, nil
	case len(others) > 0:
		return nil, fmt.Errorf("%s: want a certificate, found %.200q: %s", inputName(name), others, hint(others[0]))
	}
	certs, err := parseUnarmored(text)
	if err != nil {
		return nil, fmt.Errorf("%s: want a certificate as PEM, DER or header value, found %s", inputName(name), describeInput(text, err))
	}
	return certs, nil
}

// describeParseError returns the reason why crypto/x509 cannot read a certificate, or
// err if package x509diag does not know it.
func describeParseError(der []byte, err error) error {
	if fault, ok := x509diag.Unreadable(der); ok {
		return fmt.Errorf("it has %s, which is not supported: %s", fault.Description, fault.Hint)
	}
	return err
}

// hint returns where to find the certificate, given the type of the PEM block that was
// found in its place.
func hint(blockType string) string {
	switch {
	case strings.HasSuffix(blockType, "PRIVATE KEY"):
		return "the certificate of this key is in another file, and the key must not be sent"
	case strings.HasSuffix(blockType, "CERTIFICATE REQUEST"):
		return "the operator issues a certificate for it: certgate issue --client NAME --csr FILE"
	case strings.HasSuffix(blockType, "PUBLIC KEY"):
		return "certgate keys shows public keys; the certificate of this key is in another file"
	case strings.HasPrefix(blockType, "PKCS7"):
		return "openssl pkcs7 -in FILE -print_certs extracts the certificates"
	default:
		return "want a block that begins with BEGIN CERTIFICATE"
	}
}

// parseUnarmored parses DER or a header value.
func parseUnarmored(text []byte) ([]*x509.Certificate, error) {
	if cert, err := x509.ParseCertificate(text); err == nil {
		return []*x509.Certificate{cert}, nil
	}
	value := strings.TrimSpace(string(text))
	if !utf8.Valid(text) { // DER, but not of a certificate
		value = base64.StdEncoding.EncodeToString(text)
	}
	chain, err := certheader.Parse([]string{value}, maxInput)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{chain.Leaf}, chain.Intermediates...), nil
}

// describeInput describes input that is not a certificate. It never quotes the input,
// which may be a key.
func describeInput(text []byte, err error) string {
	refused := refusal.Of(err)
	switch {
	case len(text) == 0:
		return "nothing"
	case refused != nil && refused.Reason == refusal.CredentialPrivateKey:
		return "a private key: " + hint("PRIVATE KEY") + "; openssl pkcs12 -in FILE -clcerts -nokeys extracts the certificate of a PKCS #12 file"
	case refused == nil || refused.Hint == "":
		return fmt.Sprintf("%d bytes without one", len(text))
	default:
		return fmt.Sprintf("%d bytes without a usable one. %s", len(text), refused.Hint)
	}
}

// newFile is a file that a command creates.
type newFile struct {
	name string
	text []byte
	mode os.FileMode
}

const (
	private os.FileMode = 0o600
	public  os.FileMode = 0o644
)

// writeNew creates all files. If one of them exists or cannot be written, it creates
// none and removes those that it has created, so that the command can be repeated. It
// never overwrites a file, which may be the only copy of a key, and follows no links.
func writeNew(files ...newFile) error {
	for _, f := range files {
		if _, err := os.Lstat(f.name); err == nil {
			return fmt.Errorf("%s exists: files are never overwritten, and no file was written", f.name)
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

// writeOne creates a file and syncs it to the disk. It removes the file if that fails.
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

// remove removes files.
func remove(files []newFile) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, os.Remove(f.name))
	}
	return errors.Join(errs...)
}
