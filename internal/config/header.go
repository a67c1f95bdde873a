package config

import (
	"errors"
	"fmt"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/core/headers"
)

// headerName is a field name (RFC 9110, section 5.1) in which clients may attach
// their certificate. Names that HTTP, the gateway, a proxy or the service reads for
// another purpose are refused, in every spelling that folds to them.
type headerName string

func (h *headerName) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case !httpguts.ValidHeaderFieldName(s):
		return errors.New(quote(s))
	case headers.KindOf(s) == headers.Certificate:
		// A client could attach it as well, with a certificate whose key it does
		// not have: one name never stands for both kinds of trust.
		return fmt.Errorf("%s, which is for proxies and AUTH_PROXY_HEADER", quote(s))
	case headers.IsReserved(s):
		return fmt.Errorf("%s, which has a meaning of its own", quote(s))
	}
	*h = headerName(s)
	return nil
}

// proxyHeader is a field name in which proxies may attach the certificate of a TLS
// handshake.
type proxyHeader string

func (h *proxyHeader) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case !httpguts.ValidHeaderFieldName(s):
		return errors.New(quote(s))
	case headers.IsCertificateChain(s):
		return fmt.Errorf("%s, which has every certificate but the client's", quote(s))
	case headers.IsReserved(s):
		return fmt.Errorf("%s, which has a meaning of its own", quote(s))
	}
	*h = proxyHeader(s)
	return nil
}
