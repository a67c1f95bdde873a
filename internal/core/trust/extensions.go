package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
)

// RFC 5280, sections 4.2.1.3 and 4.2.1.12.
var (
	oidKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

func hasExtension(cert *x509.Certificate, id asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(id) })
}

// extensionName returns the object identifier of an extension for a message, with its
// name if the extension is one that is often critical.
func extensionName(id asn1.ObjectIdentifier) string {
	names := map[string]string{
		"2.5.29.17": "subjectAltName",
		"2.5.29.27": "deltaCRLIndicator",
		"2.5.29.28": "issuingDistributionPoint",
		"2.5.29.29": "certificateIssuer",
		"2.5.29.30": "nameConstraints",
	}
	if name, ok := names[id.String()]; ok {
		return name + " (" + id.String() + ")"
	}
	return id.String()
}

func extensionNames(ids []asn1.ObjectIdentifier) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = extensionName(id)
	}
	return strings.Join(names, ", ")
}
