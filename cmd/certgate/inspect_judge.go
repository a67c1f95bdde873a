package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// inForce is the gateway's configuration, of which a part may be placeholders.
type inForce struct {
	config.Config

	keys, denyList bool // whether the environment sets them
}

// loadInForce reads the gateway's environment. Keys, rules and upstream need not be
// set; a faulty environment is a [usageError].
func loadInForce(s surroundings) (inForce, error) {
	key, err := unusedKey()
	if err != nil {
		return inForce{}, err
	}
	environ := s.variables()
	conf, err := loadConfig(s, key, unusedRules(), unusedUpstream())
	return inForce{conf, isSet(environ, "AUTH_PUBLIC_KEY"), isSet(environ, "ACCESS_RULES")}, err
}

// judge adds the reasons for which the certificate would be refused: first those
// that do not depend on its issuer, then those of the keys in force, if the
// environment names any.
func (r *certificateReport) judge(certs []*x509.Certificate, now time.Time, conf inForce) {
	if err := unreadable(certs[0]); err != nil {
		r.unreadable, r.notAsked = true, "refused whoever signed it"
		r.Faults = append(r.Faults, err.Error())
		return
	}
	faults := conf.Limits.Faults(certs[0], now)
	name, err := identity.Claimed(certs[0])
	if err != nil {
		faults = append(faults, err)
	}
	r.Client = name
	switch {
	case !conf.keys:
		r.notAsked = "AUTH_PUBLIC_KEY and AUTH_PUBLIC_KEY_FILE are not set"
	case len(faults) > 0:
		r.notAsked = "refused whoever signed it"
	default:
		r.noDenies = !conf.denyList
		v, err := conf.Verifier().Verify(certs[0], now, certs[1:]...)
		if r.Trust, r.KeyID = trusted, v.ShortKeyID(); err != nil {
			r.Trust, r.KeyID = refused, ""
			faults = append(faults, err)
		}
		r.SharedKey = r.SharedKey || v.SharedKey()
	}
	for _, f := range faults {
		r.Faults = append(r.Faults, f.Error())
	}
}

// unreadable returns the refusal of a certificate that the gateway cannot read in
// any form, or nil.
func unreadable(cert *x509.Certificate) error {
	value := certheader.Encode(certheader.Base64DER, cert.Raw)
	_, err := certheader.Parse([]string{value}, len(value))
	return err
}

// judgeFile adds the reason for which the gateway would refuse the whole file as a
// credential: a header value as it stands, another file as base64.
func (r *certificateReport) judgeFile(text []byte, maxBytes int) {
	value := strings.TrimSpace(string(text))
	if block, _ := pem.Decode(text); block != nil || !utf8.Valid(text) {
		value = base64.StdEncoding.EncodeToString(text)
	}
	_, err := certheader.Parse([]string{value}, maxBytes)
	refused := refusal.Of(err)
	if refused == nil || r.unreadable {
		return
	}
	detail := refused.Detail
	if refused.Reason == refusal.CredentialPrivateKey {
		detail = "it also holds a private key, which must never be sent"
	}
	r.Faults = append(r.Faults, fmt.Sprintf("%s: the file as it is: %s. openssl x509 -in FILE -outform DER | base64 -w0 takes the certificate out", refused.Reason, detail))
}
