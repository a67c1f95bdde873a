package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/proxy/dialer"
)

// maxUpstreamFile is the largest file of certificates or keys for TLS to the upstream, in
// bytes.
const maxUpstreamFile = 1 << 20

// UpstreamFiles are the files of the certificates for TLS to the upstream.
type UpstreamFiles struct {
	CA     string           // UPSTREAM_CA_FILE, or empty
	CAText regularfile.File // the content of CA
	Pair   []string         // UPSTREAM_CERT_FILE and UPSTREAM_KEY_FILE, or nil
	// PairTexts are the contents of Pair.
	PairTexts []regularfile.File
}

// ParseUpstreamCA parses the content of the file that UPSTREAM_CA_FILE names, as [Load]
// does. Errors never quote the content.
func ParseUpstreamCA(file regularfile.File) (*x509.CertPool, error) {
	list, err := parseCertificates(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range list {
		pool.AddCert(cert)
	}
	return pool, nil
}

// ParseUpstreamPair parses the contents of the files that UPSTREAM_CERT_FILE and
// UPSTREAM_KEY_FILE name, in this order, as [Load] does. The key must belong to the first
// certificate. The error is an [*Error] that never quotes the contents.
func ParseUpstreamPair(files [2]regularfile.File) (*tls.Certificate, error) {
	var faults []Fault
	if _, err := parseCertificates(files[0]); err != nil {
		faults = append(faults, Fault{"UPSTREAM_CERT_FILE", err.Error()})
	}
	if err := checkUpstreamKey(files[1]); err != nil {
		faults = append(faults, Fault{"UPSTREAM_KEY_FILE", err.Error()})
	}
	if len(faults) > 0 {
		return nil, &Error{faults}
	}
	pair, err := tls.X509KeyPair(files[0].Text, files[1].Text)
	if err != nil { // crypto/tls never quotes the contents
		problem := fmt.Sprintf("found %s, want the private key of UPSTREAM_CERT_FILE: %v", quote(files[1].Name), err)
		return nil, &Error{[]Fault{{"UPSTREAM_KEY_FILE", problem}}}
	}
	return &pair, nil
}

func checkUpstreamKey(file regularfile.File) error {
	if err := checkUpstreamFile(file); err != nil {
		return err
	}
	if bytes.Contains(file.Text, []byte("ENCRYPTED")) {
		return fmt.Errorf("found an encrypted private key in %s, want one without a password", quote(file.Name))
	}
	return nil
}

// checkUpstreamFile returns an error if the file cannot be read or is too large.
func checkUpstreamFile(file regularfile.File) error {
	switch {
	case file.Err != nil:
		return readError(file)
	case len(file.Text) > maxUpstreamFile:
		return fmt.Errorf("found %s: more than %d bytes", quote(file.Name), maxUpstreamFile)
	default:
		return nil
	}
}

// parseCertificates parses one or more PEM certificates. Text between them is allowed,
// because lists of CA certificates contain comments. A damaged block is an error, which
// pem.Decode would skip.
func parseCertificates(file regularfile.File) ([]*x509.Certificate, error) {
	if err := checkUpstreamFile(file); err != nil {
		return nil, err
	}
	name, begins := quote(file.Name), bytes.Count(file.Text, []byte("-----BEGIN "))
	var list []*x509.Certificate
	for block, rest := pem.Decode(file.Text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("found a PEM block %s in %s, want certificates only", quote(block.Type), name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("found %s: certificate %d: %w", name, len(list)+1, err)
		}
		list = append(list, cert)
	}
	switch {
	case begins == 0:
		return nil, fmt.Errorf("found %s without a PEM block, want PEM certificates", name)
	case begins != len(list):
		return nil, fmt.Errorf("found %s with a damaged or incomplete PEM block, want PEM certificates", name)
	}
	return list, nil
}

// serverName is a host name or an IP address, in lower case.
type serverName string

func (n *serverName) UnmarshalText(text []byte) error {
	s := strings.ToLower(string(text))
	parts := authorityPattern.FindStringSubmatch(s)
	if _, err := netip.ParseAddr(s); err != nil && (parts == nil || parts[1] != s || strings.HasPrefix(s, "[")) {
		return errors.New(quote(string(text)))
	}
	*n = serverName(s)
	return nil
}

// upstreamSecurity reads the files of the certificates for TLS to the upstream.
func (l *loader) upstreamSecurity(v variables) (dialer.Security, UpstreamFiles) {
	security, files := dialer.Security{ServerName: string(v.UpstreamServerName)}, UpstreamFiles{CA: string(v.UpstreamCAFile)}
	if files.CA != "" {
		files.CAText = l.readFile(v.UpstreamCAFile, maxUpstreamFile)
		pool, err := ParseUpstreamCA(files.CAText)
		if err != nil {
			l.addFault("UPSTREAM_CA_FILE", err.Error())
		}
		security.Roots = pool
	}
	if v.UpstreamCertFile == "" || v.UpstreamKeyFile == "" {
		return security, files
	}
	for _, name := range []fileName{v.UpstreamCertFile, v.UpstreamKeyFile} {
		files.Pair = append(files.Pair, string(name))
		files.PairTexts = append(files.PairTexts, l.readFile(name, maxUpstreamFile))
	}
	pair, err := ParseUpstreamPair([2]regularfile.File(files.PairTexts))
	if e, ok := errors.AsType[*Error](err); ok {
		l.faults = append(l.faults, e.Faults...)
	}
	security.Certificate = pair
	return security, files
}

// checkUpstreamSecurity adds a fault for each setting for TLS to an upstream without TLS,
// and for a certificate without a key.
func (l *loader) checkUpstreamSecurity(v variables) {
	settings := []struct{ variable, value string }{
		{"UPSTREAM_CA_FILE", string(v.UpstreamCAFile)},
		{"UPSTREAM_CERT_FILE", string(v.UpstreamCertFile)},
		{"UPSTREAM_KEY_FILE", string(v.UpstreamKeyFile)},
		{"UPSTREAM_SERVER_NAME", string(v.UpstreamServerName)},
	}
	secure := len(v.Upstreams.list) == 0 || v.Upstreams.list[0].Scheme == "https" // without addresses there is a fault already
	for _, s := range settings {
		if s.value != "" && !secure && !l.hasFault(s.variable) {
			l.addFault(s.variable, fmt.Sprintf("found %s with UPSTREAM_URL %s, want https:// in UPSTREAM_URL, or no %s", quote(s.value), quote(v.Upstreams.list[0].String()), s.variable))
		}
	}
	l.checkPair("UPSTREAM_CERT_FILE", v.UpstreamCertFile, "UPSTREAM_KEY_FILE", v.UpstreamKeyFile)
	l.checkPair("UPSTREAM_KEY_FILE", v.UpstreamKeyFile, "UPSTREAM_CERT_FILE", v.UpstreamCertFile)
}

// checkPair adds a fault for other if only the variable is set.
func (l *loader) checkPair(variable string, value fileName, other string, otherValue fileName) {
	if value != "" && otherValue == "" && !l.hasFault(other) {
		spec := l.findSpec(func(spec variableSpec) bool { return spec.Name == other })
		l.addFault(other, fmt.Sprintf("found nothing with %s, want %s", variable, spec.want))
	}
}
