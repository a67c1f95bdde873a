package main

import (
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/core/certheader"
)

type headerCommand struct {
	File string `arg:"" help:"The certificate, as PEM, DER or header value; - is standard input. Several make a chain, the client's first."`
	Form string `help:"How to write it: ${form_list}." default:"base64" enum:"${forms}"`
}

// sender is a proxy by whose name a form may be asked for.
type sender struct {
	name string
	form certheader.Form
}

// senders lists the proxies with the form in which each sends a certificate.
func senders() []sender {
	return []sender{
		{"nginx", certheader.PercentPEM},
		{"alb", certheader.PercentPEM},
		{"apache", certheader.SpacedPEM},
		{"haproxy", certheader.Base64DER},
		{"traefik", certheader.Base64DER},
		{"envoy", certheader.XFCC},
	}
}

// formNames are the forms and the proxies, for the grammar.
func formNames(separator string) string {
	var names []string
	for _, f := range certheader.Forms() {
		names = append(names, string(f))
	}
	for _, s := range senders() {
		names = append(names, s.name)
	}
	return strings.Join(names, separator)
}

// form is the form that a name of formNames stands for.
func form(name string) certheader.Form {
	for _, s := range senders() {
		if s.name == name {
			return s.form
		}
	}
	return certheader.Form(name)
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

By the name of the proxy whose header it imitates:

  nginx, alb  percent                haproxy, traefik  der
  apache      spaced                 envoy             xfcc

Example:

  curl -H "X-SSL-Auth: $(certgate header keys/mail.crt)" http://127.0.0.1:8080/events`
}

// Run prints the value.
func (h headerCommand) Run(s surroundings) error {
	certs, err := readClient(h.File, s.stdin)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.stdout, certheader.Encode(form(h.Form), rawOf(certs)...))
	return err
}
