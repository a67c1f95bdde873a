package proxies

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/test/harness"
)

// flaws returns the checks of a configuration, by the word that the comments in the
// configurations use. Each returns a description of the flaw, or "" if there is none.
func (f *proxiedGateway) flaws() map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"certificate": f.spoofedCertificate,
		"variants":    f.spoofedVariant,
		"forwarded":   f.spoofedForwarded,
		"size":        f.tooSmall,
		"escaping":    f.rewritten,
		"connections": f.reconnecting,
	}
}

// spoofedCertificate sends social's certificate in the proxy's header, without a handshake
// as social.
func (f *proxiedGateway) spoofedCertificate(t *testing.T) string {
	t.Helper()
	if !f.mutual {
		return ""
	}
	line := f.attached
	for name, lines := range map[string][]string{
		"as it is":    {line(f.header)},
		"small":       {line(strings.ToLower(f.header))},
		"large":       {line(strings.ToUpper(f.header))},
		"twice":       {line(f.header), line(strings.ToLower(f.header))},
		"empty first": {f.header + ":", line(f.header)},
		"hop by hop":  {line(f.header), "Connection: keep-alive, " + f.header},
		"all":         {line(f.header), line("X-SSL-Auth"), "X-Client-Id: social", "X-Client-Auth: mtls"},
	} {
		for _, pairs := range [][]tls.Certificate{{f.handshake}, nil} {
			if flaw := f.becomesSocial(t, pairs, lines...); flaw != "" {
				return name + ": " + flaw
			}
		}
	}
	return ""
}

// becomesSocial sends the lines with mail's certificate in the handshake or without one.
// In both cases a refusal is correct. If the request is allowed, the identity at the upstream
// must be mail's with the handshake, and social's by X-SSL-Auth without one.
func (f *proxiedGateway) becomesSocial(t *testing.T, pairs []tls.Certificate, lines ...string) string {
	t.Helper()
	a, err := f.send(t, harness.PlainGet("/events").With(lines...), pairs...)
	head := strings.Split(f.gateway.Upstream.Take(), "\r\n")
	client, auth := harness.HeaderValues(head, "X-Client-Id"), harness.HeaderValues(head, "X-Client-Auth")
	switch {
	case len(client) == 0 && (err != nil || a.Status >= 400):
		return ""
	case len(pairs) > 0 && slices.Equal(client, []string{"mail"}) && slices.Equal(auth, []string{"mtls"}):
		return ""
	case len(pairs) == 0 && slices.Equal(client, []string{"social"}) && slices.Equal(auth, []string{"bearer"}):
		return ""
	default:
		return fmt.Sprintf("status %d, client %q by %q", a.Status, client, auth)
	}
}

// spoofedVariant sends the fields that the gateway or the service trusts in other
// spellings. None may change the identity that arrives at the service. Spellings with
// "_", which most servers read as "-", must not get through the proxy at all.
func (f *proxiedGateway) spoofedVariant(t *testing.T) string {
	t.Helper()
	for _, c := range aliasCharacters {
		if flaw := f.spoofedIdentity(t, c); flaw != "" {
			return fmt.Sprintf("%c: %s", c, flaw)
		}
		if !f.mutual {
			continue
		}
		if flaw := f.spoofedHandshake(t, c); flaw != "" {
			return fmt.Sprintf("%c: %s", c, flaw)
		}
	}
	return ""
}

// spoofedIdentity sends the service's fields together with mail's certificate.
func (f *proxiedGateway) spoofedIdentity(t *testing.T, c rune) string {
	t.Helper()
	a := f.sendAsMail(t, harness.Get("/events", f.mail).With(aliases(serviceFields(), c, "social")...))
	head := strings.Split(f.gateway.Upstream.Take(), "\r\n")
	if a.Status != http.StatusOK {
		return fmt.Sprintf("status %d", a.Status)
	}
	for name, want := range map[string][]string{"X-Client-Id": {"mail"}, "X-Client-Cert-Serial": {f.mail.Serial()}, "X-SSL-Auth": nil} {
		if found := harness.HeaderValues(head, name); !slices.Equal(found, want) {
			return fmt.Sprintf("%s: want %q at the service, found %q", name, want, found)
		}
	}
	return ""
}

// spoofedHandshake sends the proxy's field with social's certificate.
func (f *proxiedGateway) spoofedHandshake(t *testing.T, c rune) string {
	t.Helper()
	for _, alias := range aliases([]string{f.header}, c, f.social.HeaderValue(certheader.Base64DER)) {
		for _, pairs := range [][]tls.Certificate{{f.handshake}, nil} {
			f.recorder.Take()
			if flaw := f.becomesSocial(t, pairs, alias); flaw != "" {
				return flaw
			}
			whole := !strings.Contains(alias[:len(f.header)], "-")
			if n := len(harness.HeaderValues(strings.Split(f.recorder.Take(), "\r\n"), f.header)); c == '_' && whole && n > len(pairs) {
				return fmt.Sprintf("%d lines from the proxy that could be %s", n, f.header)
			}
		}
	}
	return ""
}

// spoofedForwarded sends another address, host, protocol and request id than its own.
func (f *proxiedGateway) spoofedForwarded(t *testing.T) string {
	t.Helper()
	const elsewhere = "203.0.113.7"
	head := f.wantMail(t, harness.Get("/events", f.mail).With("X-Forwarded-For: "+elsewhere, "X-Forwarded-Proto: http",
		"X-Forwarded-Host: elsewhere.example", "X-Request-Id: elsewhere"))
	id := harness.HeaderValues(head, "X-Request-Id")
	if slices.Contains(id, "elsewhere") {
		return "the client's request id is believed"
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": clientAddress + ", 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example",
	} {
		if found := harness.HeaderValues(head, name); !slices.Equal(found, []string{want}) {
			return fmt.Sprintf("%s: want %q, found %q", name, want, found)
		}
	}
	if line := f.gateway.AuditLineOf(t, id[0]); line.Source != clientAddress {
		return fmt.Sprintf("want the source %s in the log, found %q", clientAddress, line.Source)
	}
	return ""
}

// tooSmall sends a certificate of nearly the size that certgate accepts.
func (f *proxiedGateway) tooSmall(t *testing.T) string {
	t.Helper()
	value := f.long.HeaderValue(certheader.Base64DER)
	if len(value) < 15<<10 || len(value) > 16<<10 {
		t.Fatalf("want a value of nearly 16 KiB, found %d bytes", len(value))
	}
	a := f.sendAsMail(t, harness.GetWithCredential(value))
	f.gateway.Upstream.Take()
	if a.Status != 200 {
		return fmt.Sprintf("status %d for %d bytes", a.Status, len(value))
	}
	return ""
}

// rewritten sends bytes in path and query that some proxies rewrite.
func (f *proxiedGateway) rewritten(t *testing.T) string {
	t.Helper()
	target := "/events/a%2Bb+c=d%7e~e%C3%A9;f?q=%2B+%26=a%20b%2Fc&d=%25=="
	if f.decodes {
		target = strings.Replace(target, "%7e", "~", 1)
	}
	r := harness.Get(target, f.mail)
	if found, _, _ := strings.Cut(f.wantMail(t, r)[0], " HTTP/"); found != "GET "+target {
		return fmt.Sprintf("want %q at the upstream, found %q", target, found)
	}
	return ""
}

// reconnecting sends one request of each of several clients in turn, and counts the
// connections to the gateway. Each of Apache's processes has its own connections.
func (f *proxiedGateway) reconnecting(t *testing.T) string {
	t.Helper()
	const clients, few = 12, 6
	opened := f.recorder.Connections()
	for range clients {
		f.wantMail(t, harness.Get("/events", f.mail))
	}
	if n := f.recorder.Connections() - opened; n > few {
		return fmt.Sprintf("%d connections to the gateway for %d requests", n, clients)
	}
	return ""
}
