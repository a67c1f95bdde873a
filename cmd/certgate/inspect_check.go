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
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/core/trust"
)

// gatewayConfig is the gateway's configuration, in which placeholders may replace
// variables that are not set.
type gatewayConfig struct {
	config.Config

	keys, denyList bool // whether the variables with keys and with a deny list are set
}

// loadGatewayConfig reads the gateway's configuration. Keys, rules and upstream may be
// unset. Without keys the rules are not read, because they may list keys. Every error is
// a [usageError].
func loadGatewayConfig(env environment) (gatewayConfig, error) {
	key, err := unusedKey()
	if err != nil {
		return gatewayConfig{}, err
	}
	environ := env.variables()
	keys, denyList := isSet(environ, "AUTH_PUBLIC_KEY"), isSet(environ, "ACCESS_RULES")
	if !keys {
		env = withoutRules(env)
	}
	conf, err := loadConfig(env, key, unusedRules(), unusedUpstream())
	return gatewayConfig{conf, keys, denyList}, err
}

// check adds the reasons for which the gateway would refuse the certificate: those that
// do not depend on its issuer and, if there are none, those that depend on the trusted
// keys of the configuration.
func (r *certificateReport) check(certs []*x509.Certificate, now time.Time, conf gatewayConfig) {
	if err := unreadable(certs[0]); err != nil {
		r.unreadable, r.notAsked = true, "refused whatever its issuer"
		r.Faults = append(r.Faults, err.Error())
		return
	}
	faults := conf.Limits.Faults(certs[0], now)
	client, err := conf.Rules.Names.Displayed(certs[0])
	r.Identity = string(conf.Identity)
	switch {
	case !conf.keys:
		r.notAsked = "AUTH_PUBLIC_KEY and AUTH_PUBLIC_KEY_FILE are not set"
	case len(faults) > 0:
		r.notAsked = "refused whatever its issuer"
	default:
		r.denyListUnset = !conf.denyList
		v, refusal := conf.Verifier().Verify(certs[0], now, certs[1:]...)
		if refusal != nil {
			r.Trust, faults = refused, append(faults, refusal)
			break
		}
		client, err = r.describeIssuer(v, conf)
	}
	if r.Client = client; err != nil {
		faults = append(faults, err)
	}
	for _, f := range faults {
		r.Faults = append(r.Faults, f.Error())
	}
}

// describeIssuer adds the anchor that signed the certificate, and returns the client name
// that certificates of this anchor have.
func (r *certificateReport) describeIssuer(v trust.Verified, conf gatewayConfig) (string, error) {
	names := conf.Rules.Names
	r.Trust, r.KeyID = trusted, v.ShortKeyID()
	r.Identity = string(names.SourceFor(v.KeyID()))
	r.SharedKey = r.SharedKey || v.SharedKey()
	if names.IsScoped(v.KeyID()) {
		r.scope = names.Describe(v.KeyID())
	}
	client, err := names.Of(v)
	return client.Name(), err
}

// unreadable returns the refusal of a certificate that the gateway cannot read in
// any form, or nil.
func unreadable(cert *x509.Certificate) error {
	value := certheader.Encode(certheader.Base64DER, cert.Raw)
	_, err := certheader.Parse([]string{value}, len(value))
	return err
}

// checkFile adds the reason for which the gateway would refuse the whole file as a
// credential: a header value unchanged, PEM or DER in base64.
func (r *certificateReport) checkFile(text []byte, maxBytes int) {
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
		detail = "it also contains a private key, which must never be sent"
	}
	r.Faults = append(r.Faults, fmt.Sprintf("%s: the file as it is: %s. openssl x509 -in FILE -outform DER | base64 -w0 extracts the certificate", refused.Reason, detail))
}
