package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/proxy/dialer"
)

// readUpstreamSecurity replaces the CAs or the client certificate for TLS to the upstream if
// the new content is valid. Requests in progress finish on their connections, and every later
// request uses a connection that was made with the new content.
func (g *Gateway) readUpstreamSecurity(name audit.Source, files []regularfile.File) error {
	security := g.config.UpstreamSecurity
	if name == audit.UpstreamCA {
		roots, err := config.ParseUpstreamCA(files[0])
		if err != nil {
			return err
		}
		security.Roots, g.config.UpstreamFiles.CAText = roots, files[0]
	} else {
		g.reloader.pair = withChanges(g.reloader.pair, files)
		certificate, err := config.ParseUpstreamPair([2]regularfile.File(g.reloader.pair))
		if err != nil {
			return err
		}
		security.Certificate = certificate
	}
	g.config.UpstreamSecurity = security
	g.dialer.Replace(security)
	g.forwarder.CloseOutdated()
	g.expiries.observeClient(security)
	return nil
}

const (
	// expiryNotice is the time before the end of a certificate's validity from which its end
	// is logged.
	expiryNotice = 14 * 24 * time.Hour
	// expiryRepeat is the minimum time between two log lines about the same certificate.
	expiryRepeat = 24 * time.Hour
	// expiryInterval is the time between two checks of the certificates.
	expiryInterval = time.Hour
)

// Roles of a certificate for TLS to the upstream.
const (
	clientRole  = "client"  // of the gateway
	serviceRole = "service" // of an address of the upstream
)

// holder identifies the owner of a certificate. upstream is empty for the gateway.
type holder struct{ role, upstream string }

// expiries reports when the certificates for TLS to the upstream expire: as a metric, and in
// the log when the time comes near. It has at most one entry for each address of the upstream
// and one for the gateway.
type expiries struct {
	log   *zap.Logger
	now   func() time.Time
	gauge *prometheus.GaugeVec

	mu    sync.Mutex
	known map[holder]*validity
}

// validity is the end of a certificate's validity and the time of the last log line about it.
type validity struct{ notAfter, logged time.Time }

func newExpiries(log *zap.Logger, registry prometheus.Registerer, now func() time.Time) *expiries {
	e := &expiries{log: log, now: now, known: map[holder]*validity{}, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "certgate_upstream_certificate_not_after_timestamp_seconds",
		Help: "End of the validity period of the certificates in TLS handshakes with the upstream, as Unix time.",
	}, []string{"role", "upstream"})}
	registry.MustRegister(e.gauge)
	return e
}

// observeClient records the gateway's certificate, if there is one.
func (e *expiries) observeClient(s dialer.Security) {
	if s.Certificate != nil {
		e.observe(holder{role: clientRole}, s.Certificate.Leaf.NotAfter)
	}
}

// observeService records the certificate of an address of the upstream, after a handshake.
func (e *expiries) observeService(upstream string, notAfter time.Time) {
	e.observe(holder{serviceRole, upstream}, notAfter)
}

func (e *expiries) observe(h holder, notAfter time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.known[h]
	if v == nil {
		v = new(validity)
		e.known[h] = v
	}
	if v.notAfter.Equal(notAfter) {
		return
	}
	v.notAfter = notAfter
	e.gauge.WithLabelValues(h.role, h.upstream).Set(float64(notAfter.Unix()))
	e.warn(h, v)
}

// serviceEnds returns the end of the validity of each address's certificate, by the name of
// the address.
func (e *expiries) serviceEnds() map[string]time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	ends := map[string]time.Time{}
	for h, v := range e.known {
		if h.role == serviceRole {
			ends[h.upstream] = v.notAfter
		}
	}
	return ends
}

// watch checks all certificates regularly until ctx is done.
func (e *expiries) watch(ctx context.Context) {
	tick := time.NewTicker(expiryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.warnAll()
		}
	}
}

func (e *expiries) warnAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for h, v := range e.known {
		e.warn(h, v)
	}
}

// warn logs a certificate that expires soon or has expired, at most once a day. The caller
// holds mu.
func (e *expiries) warn(h holder, v *validity) {
	now := e.now()
	if v.notAfter.Sub(now) > expiryNotice || !v.logged.IsZero() && now.Sub(v.logged) < expiryRepeat {
		return
	}
	v.logged = now
	message := "a certificate for TLS to the upstream expires soon"
	if now.After(v.notAfter) {
		message = "a certificate for TLS to the upstream has expired"
	}
	fields := []zap.Field{zap.String("role", h.role), zap.Time("not_after", v.notAfter)}
	if h.upstream != "" {
		fields = append(fields, zap.String("upstream", h.upstream))
	}
	e.log.Warn(message, fields...)
}
