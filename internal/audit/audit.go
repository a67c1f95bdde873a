// Package audit records the decision on each request as one log line and in metrics. It
// also counts reloads of the configuration.
//
// Only the log line contains the full reason of a refusal; the client gets the code of
// the reason and the request id, which is in the line, too. Lines are never sampled. A
// log level above info omits the lines of allowed and refused requests, as it omits all
// lines of that level; the metrics are not affected.
//
// Untrusted text is truncated to a fixed length and written as printable ASCII, so that
// each request is exactly one line. Untrusted text is never a metric label.
package audit

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Decision is the outcome of a request.
type Decision string

// The decisions. A granted request is Allowed regardless of the status of the upstream's
// response. It is Failed if there was no response.
const (
	Allowed Decision = "allowed"
	Refused Decision = "refused"
	Failed  Decision = "failed"
)

// Surface is the listener that received a request.
type Surface string

// The surfaces.
const (
	Public   Surface = ""          // a request to forward; not part of the line
	Verify   Surface = "verify"    // a decision for another proxy, over HTTP
	ExtAuthz Surface = "ext_authz" // a decision for Envoy, over gRPC
)

// Length limits of untrusted texts in the line, in bytes.
const (
	maxRequestID = 128
	maxMethod    = 16
	maxPath      = 256
	maxDetail    = 512
	maxSource    = 64
)

// Record describes one request. Empty fields are omitted from the line.
type Record struct {
	Time      time.Time // when the request arrived; zero means now
	Surface   Surface
	RequestID string
	TraceID   string // of the caller's traceparent, or of the gateway's own span without one
	SpanID    string
	Client    string // the name in a certificate with a verified signature, or empty
	Auth      string // bearer, signed, mtls
	Method    string // as received
	Path      string // as received
	Rule      string // the rule that allows the request, even if its rate limit refuses it
	KeyID     string // the anchor that signed the certificate
	Serial    string
	NotAfter  string // the end of the certificate's validity period, in RFC 3339 and UTC
	SharedKey bool   // the certificate contains the anchor's key, as in the 2012 recipe
	Source    string // the client's address
	Upstream  string // the upstream address, if there are several

	Decision Decision
	Reason   refusal.Reason // empty when allowed
	Detail   string         // for the operator only
	// WouldRefuse is the reason for which the request would be refused if proof were
	// required instead of observed, or empty.
	WouldRefuse refusal.Reason
	// Next states how the next rules would change the decision, or is empty.
	Next gate.Change

	Status            int
	Duration          time.Duration
	BytesIn, BytesOut int64
}

// ApplyDecision sets the fields that the gate has determined. The client's name and the
// fields of the certificate are set if an anchor's signature was verified, even if
// another check refused the certificate.
func (rec *Record) ApplyDecision(d *gate.Decision) {
	rec.Client = d.Client.Name()
	rec.Rule, rec.Next = d.Rule, d.Next
	if d.WouldRefuse != nil {
		rec.WouldRefuse, rec.Detail = d.WouldRefuse.Reason, d.WouldRefuse.Detail
	}
	if d.Certificate.Valid() {
		rec.Auth = d.Auth
		rec.KeyID, rec.Serial, rec.NotAfter, rec.SharedKey = d.Certificate.Summary()
	} else if d.Signed.Valid() {
		rec.Client = d.SignedClient
		rec.KeyID, rec.Serial, rec.NotAfter, rec.SharedKey = d.Signed.Summary()
	}
}

// PathWithoutQuery returns the part of a request target that may be logged. Queries can
// contain secrets.
func PathWithoutQuery(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// Recorder writes records. It is safe for concurrent use.
type Recorder struct {
	log      *zap.Logger
	jsonCore *jsonCore // nil if every line is written through log
	buffer   *Buffer   // nil if log has no buffer; its lines are never lost then
	metrics  *metrics
	observe  []func(*Record)
}

// New returns a recorder that logs to log and registers its metrics with reg. It panics
// if reg contains metrics with these names, such as those of another recorder. Each of
// the observers is called with every record, before its line is written. Observers must be
// safe for concurrent use and must neither change nor retain the record.
func New(log *zap.Logger, reg prometheus.Registerer, observers ...func(*Record)) *Recorder {
	r := &Recorder{
		log: log, jsonCore: jsonCoreOf(log), buffer: bufferOf(log.Core()), metrics: newMetrics(reg),
		observe: observers,
	}
	promauto.With(reg).NewCounterFunc(prometheus.CounterOpts{
		Name: "certgate_log_lines_lost_total",
		Help: "Log lines that were dropped because they could not be written.",
	}, func() float64 { return float64(r.LinesLost()) })
	return r
}

// requestMessage is the message of a request's line.
const requestMessage = "request"

// Record writes the line of a request and counts the request. The level is error if an
// operator must act: for the reason internal, and for a request that failed with a
// status of 500 and above. Otherwise it is info, also for a request that failed because
// the client closed the connection. Record does not retain rec.
func (r *Recorder) Record(rec *Record) {
	r.metrics.count(rec)
	for _, observe := range r.observe {
		observe(rec)
	}
	level := levelOf(rec)
	if r.jsonCore != nil && level == zapcore.InfoLevel && r.jsonCore.writeRecord(rec) {
		return
	}
	entry := r.log.Check(level, requestMessage)
	if entry == nil {
		return
	}
	if !rec.Time.IsZero() {
		entry.Time = rec.Time
	}
	entry.Write(zap.Inline(newLine(rec)))
}

// Enter counts a request as in flight until Leave.
func (r *Recorder) Enter() { r.metrics.inFlight.Inc() }

// Leave ends the count of a request that began with Enter.
func (r *Recorder) Leave() { r.metrics.inFlight.Dec() }

// usesSharedKey reports whether the certificate contains the anchor's key. If the request
// was refused for that reason, the record has no verified certificate.
func (rec *Record) usesSharedKey() bool {
	return rec.SharedKey || rec.Reason == refusal.LegacySharedKey
}

// levelOf returns the level of the record's line.
func levelOf(rec *Record) zapcore.Level {
	failed := rec.Decision == Failed && rec.Reason.Status() >= http.StatusInternalServerError
	if failed || rec.Reason == refusal.Internal {
		return zapcore.ErrorLevel
	}
	return zapcore.InfoLevel
}
