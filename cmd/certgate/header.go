package main

import (
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/core/certheader"
)

type headerCommand struct {
	File string `arg:"" help:"The certificate as PEM, DER or header value; - is standard input. Several certificates are a chain, the client's first."`
	Form string `help:"The form of the value: ${form_list}." default:"base64" enum:"${forms}"`
}

// proxyForm is the form in which a proxy sends certificates.
type proxyForm struct {
	name string
	form certheader.Form
}

// proxyForms lists the proxies whose names can be used in place of a form.
func proxyForms() []proxyForm {
	return []proxyForm{
		{"nginx", certheader.PercentPEM},
		{"alb", certheader.PercentPEM},
		{"apache", certheader.SpacedPEM},
		{"haproxy", certheader.Base64DER},
		{"traefik", certheader.Base64DER},
		{"envoy", certheader.XFCC},
	}
}

// formNames returns the names of the forms and the proxies.
func formNames(separator string) string {
	var names []string
	for _, f := range certheader.Forms() {
		names = append(names, string(f))
	}
	for _, s := range proxyForms() {
		names = append(names, s.name)
	}
	return strings.Join(names, separator)
}

// formOf returns the form for a name of formNames.
func formOf(name string) certheader.Form {
	for _, s := range proxyForms() {
		if s.name == name {
			return s.form
		}
	}
	return certheader.Form(name)
}

// Help is the long text of certgate header --help.
func (headerCommand) Help() string {
	return `Prints one line for the X-SSL-Auth header. Keep it confidential: it is a credential,
and everyone who has it can send it. The gateway recognizes each of these forms:

  base64   base64 of the PEM         der      base64 of the DER, the shortest
  percent  nginx, AWS ALB, Envoy     form     as HTML forms encode it
  spaced   Apache                    escaped  with \n for line breaks
  joined   without line breaks       rfc9440  :base64: of RFC 9440
  xfcc     Envoy's X-Forwarded-Client-Cert

A form can also be given by the name of the proxy that sends it:

  nginx, alb  percent                haproxy, traefik  der
  apache      spaced                 envoy             xfcc

Example:

  curl -H "X-SSL-Auth: $(certgate header keys/mail.crt)" http://127.0.0.1:8080/events`
}

// Run prints the header value.
func (h headerCommand) Run(env environment) error {
	certs, err := readClient(h.File, env.stdin)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.stdout, certheader.Encode(formOf(h.Form), rawOf(certs)...))
	return err
}
