package main

import (
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/certheader"
)

type headerCommand struct {
	File string `arg:"" help:"The certificate, as PEM, DER or header value; - is standard input. Several make a chain, the client's first."`
	Form string `help:"How to write it: ${form_list}." default:"base64" enum:"${forms}"`
}

// formNames are the forms for the grammar.
func formNames(separator string) string {
	var names []string
	for _, f := range certheader.Forms() {
		names = append(names, string(f))
	}
	return strings.Join(names, separator)
}

// Help is the long text of certgate header --help.
func (headerCommand) Help() string {
	return `Prints one line for X-SSL-Auth. Whoever sees it can send it: it is a credential.
The gateway takes every form and tells them apart by itself:

  base64   base64 of the PEM         der      base64 of the DER, the shortest
  percent  nginx, AWS ALB, Envoy     form     as HTML forms encode it
  spaced   Apache                    escaped  the two characters \n
  joined   without line breaks       rfc9440  :base64: of RFC 9440
  xfcc     Envoy's X-Forwarded-Client-Cert

Example:

  curl -H "X-SSL-Auth: $(certgate header keys/mail.crt)" http://127.0.0.1:8080/events`
}

// Run prints the value.
func (h headerCommand) Run(s surroundings) error {
	certs, err := readCertificates(h.File, s.stdin)
	if err != nil {
		return err
	}
	if len(certs) > certheader.MaxCertificates {
		return fmt.Errorf("%s: want at most %d certificates, found %d", inputName(h.File), certheader.MaxCertificates, len(certs))
	}
	ders := make([][]byte, len(certs))
	for i, c := range certs {
		ders[i] = c.Raw
	}
	_, err = fmt.Fprintln(s.stdout, certheader.Encode(certheader.Form(h.Form), ders...))
	return err
}
