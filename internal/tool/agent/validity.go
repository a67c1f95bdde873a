package agent

import (
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/tool/signing"
)

// validity is the state of a certificate's validity period at one moment.
type validity int

const (
	valid validity = iota
	expiresSoon
	notYetValid
	expired
)

// validityOf returns the validity of the credential's certificate at the given time.
// A certificate expires soon in the last quarter of its validity period, because
// clients that renew in time do so after two thirds of it.
func validityOf(c *signing.Credential, now time.Time) validity {
	begin, end := c.Certificate().NotBefore, c.Certificate().NotAfter
	switch {
	case now.Before(begin):
		return notYetValid
	case now.After(end):
		return expired
	case end.Sub(now) < end.Sub(begin)/4:
		return expiresSoon
	default:
		return valid
	}
}

// refusal returns the refusal of requests while the certificate has this validity, or
// nil if requests can be signed.
func (v validity) refusal() *refusal {
	switch v {
	case expired:
		return certificateExpired()
	case notYetValid:
		return certificateNotYetValid()
	default:
		return nil
	}
}

// warningInterval is how often a warning about a certificate is logged again.
const warningInterval = 24 * time.Hour

// checkValidity logs a warning before the certificate expires, and an error when it
// cannot be used: when the validity changes, and then daily.
func (r *reloader) checkValidity() {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, now := r.current.Load(), r.now()
	found := validityOf(c, now)
	if found == valid || found == r.logged && now.Sub(r.loggedAt) < warningInterval {
		return
	}
	r.logged, r.loggedAt = found, now
	fields := []zap.Field{
		zap.String("client", c.Client()), zap.String("serial", serialOf(c)),
		zap.Time("not_before", c.Certificate().NotBefore), zap.Time("not_after", c.Certificate().NotAfter),
	}
	switch found {
	case expiresSoon:
		r.log.Warn("the certificate expires soon", fields...)
	case expired:
		r.log.Error("the certificate has expired: every request is refused until it is renewed", fields...)
	case notYetValid:
		r.log.Error("the certificate is not valid yet: every request is refused until it is", fields...)
	}
}
