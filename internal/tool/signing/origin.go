package signing

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// checkOrigin returns an [ErrOrigin] if the URL or the Host of the request is not
// that of the transport's origin.
func (t *Transport) checkOrigin(r *http.Request) error {
	origin, err := parseOrigin(t.Origin)
	if err != nil {
		return err
	}
	if r.URL == nil {
		return fmt.Errorf("%w %s, found one without a URL", ErrOrigin, t.Origin)
	}
	found := originOf(r.URL.Scheme, r.URL)
	if found != origin {
		return fmt.Errorf("%w %s, found %.200q", ErrOrigin, t.Origin, found)
	}
	if r.Host != "" && originOf(r.URL.Scheme, &url.URL{Host: r.Host}) != origin {
		return fmt.Errorf("%w %s, found one for the host %.200q", ErrOrigin, t.Origin, r.Host)
	}
	if r.Method == http.MethodConnect {
		return errors.New("want a request that can be signed, found a CONNECT request")
	}
	return nil
}

// parseOrigin parses an origin and returns it in the form of [originOf].
func parseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("origin: want http:// or https:// with a host, found %.200q", text)
	}
	if u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New("origin: want a scheme, a host and a port only, found more")
	}
	return originOf(u.Scheme, u), nil
}

// originOf serializes scheme, host and port in lower case, with the port always
// written out, so that equal origins are equal strings (RFC 6454, section 6.2).
func originOf(scheme string, u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return strings.ToLower(scheme + "://" + toASCII(u.Hostname()) + ":" + port)
}

// toASCII converts an international host name to Punycode, as net/http does before
// it sends a request. It returns other hosts unchanged; net/http refuses those that
// it cannot send.
func toASCII(host string) string {
	if ascii, err := httpguts.PunycodeHostPort(host); err == nil {
		return ascii
	}
	return host
}
