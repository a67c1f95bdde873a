package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxInput bounds what a command reads from a file or standard input.
const maxInput = 1 << 20

// readInput reads a file, or standard input for "-".
func readInput(name string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the operator names the file
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(text) > maxInput {
		err = fmt.Errorf("%s: want at most %d bytes, found more", name, maxInput)
	}
	return text, err
}

// readCertificates reads every certificate of a file, PEM or DER, in order.
// Unlike the gateway it takes text and other blocks beside them: people keep
// keys and comments in the same file.
func readCertificates(name string, stdin io.Reader) ([]*x509.Certificate, error) {
	text, err := readInput(name, stdin)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", name, len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) > 0 {
		return certs, nil
	}
	if cert, err := x509.ParseCertificate(text); err == nil {
		return []*x509.Certificate{cert}, nil
	}
	return nil, fmt.Errorf("%s: want a certificate as PEM or DER, found none", name)
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

// writeNew writes all files or, where one of them exists, none: what is there is
// never overwritten, for it may be the only copy of a key.
func writeNew(files ...newFile) error {
	for _, f := range files {
		if _, err := os.Lstat(f.name); err == nil {
			return fmt.Errorf("%s exists: nothing is overwritten; move it away first", f.name)
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, f := range files {
		if err := writeOne(f); err != nil {
			return err
		}
	}
	return nil
}

func writeOne(f newFile) (err error) {
	w, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	_, err = w.Write(f.text)
	return err
}

// fileName turns a client's name into that of a file, as scripts/ do.
func fileName(client string) string {
	return strings.NewReplacer("/", "-", ":", "-", " ", "-").Replace(client)
}
