package config

import (
	"errors"
	"fmt"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/core/headers"
)

// headerName is the field name (RFC 9110, section 5.1) of the header in which clients
// send their certificate. Names that HTTP, the gateway, a proxy or the service uses for
// another purpose are faults, in every spelling that folds to them.
type headerName string

func (h *headerName) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case !httpguts.ValidHeaderFieldName(s):
		return errors.New(quote(s))
	case headers.KindOf(s) == headers.Certificate:
		// With one name for both headers, a client could send a certificate without
		// having its key and be treated as authenticated by TLS.
		return fmt.Errorf("%s, which is reserved for AUTH_PROXY_HEADER", quote(s))
	case headers.IsReserved(s):
		return fmt.Errorf("%s, which has another purpose", quote(s))
	}
	*h = headerName(s)
	return nil
}

// proxyHeader is the field name of the header in which trusted proxies send the client
// certificate of the TLS handshake.
type proxyHeader string

func (h *proxyHeader) UnmarshalText(text []byte) error {
	s := string(text)
	switch {
	case !httpguts.ValidHeaderFieldName(s):
		return errors.New(quote(s))
	case headers.IsCertificateChain(s):
		return fmt.Errorf("%s, which contains every certificate except the client's", quote(s))
	case headers.IsReserved(s):
		return fmt.Errorf("%s, which has another purpose", quote(s))
	}
	*h = proxyHeader(s)
	return nil
}
