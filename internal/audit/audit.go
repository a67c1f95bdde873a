// Package audit records what was decided on each request: one log line and a
// few counters. It counts the reloads that decide the next one, too.
//
// The line is the only place where the full reason of a refusal can be read;
// the client gets the reason's code and the request id that finds the line.
// Lines are never sampled. A level above info hides the lines of allowed and
// refused requests, as it hides every other line of that level; the counters
// count on.
//
// Untrusted text is cut to a fixed length and leaves the package as printable
// ASCII, so a request is one line whatever its bytes are. Untrusted text never
// becomes a metric label.
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

// Decision is how a request ended.
type Decision string

// The decisions. A request that was granted is Allowed, whatever status the
// upstream answered with, unless the upstream gave no answer: then it Failed.
const (
	Allowed Decision = "allowed"
	Refused Decision = "refused"
	Failed  Decision = "failed"
)

// Surface is the way in by which a request came.
type Surface string

// The surfaces.
const (
	Public   Surface = ""          // the request itself, which is forwarded; the line does not say
	Verify   Surface = "verify"    // another proxy asks over HTTP
	ExtAuthz Surface = "ext_authz" // Envoy asks over gRPC
)

// The longest untrusted texts that are written, in bytes.
const (
	maxRequestID = 128
	maxMethod    = 16
	maxPath      = 256
	maxDetail    = 512
	maxSource    = 64
)

// Record is what there is to say about one request. Empty fields are left out
// of the line.
type Record struct {
	Time      time.Time // when the request arrived; zero means now
	Surface   Surface
	RequestID string
	Client    string // the name in a certificate whose signature was verified, or empty
	Auth      string // bearer, signed, mtls
	Method    string // as received
	Path      string // as received
	Rule      string // the rule that allows it, also when its rate does not
	KeyID     string // the anchor that signed the certificate
	Serial    string
	NotAfter  time.Time // the end of the certificate's validity period
	SharedKey bool      // the certificate's own key is the anchor's, as the 2012 recipe makes it
	Source    string    // the address the request came from
	Upstream  string    // the address that it went to, where there is a choice

	Decision Decision
	Reason   refusal.Reason // empty when allowed
	Detail   string         // for the operator only
	// WouldRefuse is why it would be refused if proof were required and not only
	// observed; else empty.
	WouldRefuse refusal.Reason

	Status            int
	Duration          time.Duration
	BytesIn, BytesOut int64
}

// Learned fills in the results of the gate. The fields of the certificate, and with it
// the client's name, are those of a certificate whose signature was verified, also
// when another check refused it.
func (rec *Record) Learned(d *gate.Decision) {
	rec.Client = d.Client.Name()
	rec.Rule = d.Rule
	if d.WouldRefuse != nil {
		rec.WouldRefuse, rec.Detail = d.WouldRefuse.Reason, d.WouldRefuse.Detail
	}
	if d.Certificate.Valid() {
		rec.Auth = d.Auth
		rec.KeyID = d.Certificate.ShortKeyID()
		rec.Serial = d.Certificate.Serial()
		rec.NotAfter = d.Certificate.NotAfter()
		rec.SharedKey = d.Certificate.SharedKey()
	} else if d.Signed.Valid() {
		rec.Client = d.SignedClient()
		rec.KeyID = d.Signed.ShortKeyID()
		rec.Serial = d.Signed.Serial()
		rec.NotAfter = d.Signed.NotAfter()
		rec.SharedKey = d.Signed.SharedKey()
	}
}

// PathOf is the part of a request target that may be logged: queries can carry
// secrets.
func PathOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// Recorder writes records. It is safe for concurrent use.
type Recorder struct {
	log      *zap.Logger
	shortcut *shortcut // nil: each line goes through log
	buffer   *Buffer   // nil: log has none, and its lines are never lost
	metrics  *metrics
}

// New makes a recorder that logs to log and registers its metrics with reg. It
// panics when reg has metrics of these names already, which only a second
// recorder on the same registry can bring about.
func New(log *zap.Logger, reg prometheus.Registerer) *Recorder {
	r := &Recorder{log: log, shortcut: shortcutOf(log), buffer: bufferOf(log.Core()), metrics: newMetrics(reg)}
	promauto.With(reg).NewCounterFunc(prometheus.CounterOpts{
		Name: "certgate_log_lines_lost_total",
		Help: "Lines of the log that were dropped because they could not be written.",
	}, r.linesLost)
	return r
}

// requestMessage is the message of a request's line.
const requestMessage = "request"

// Record writes one line and counts it. The level is info for what was allowed
// and for what a client was refused, error for what an operator must act on:
// the reason internal, or a request that failed for a reason with a status of
// 500 and above. A client that hangs up fails too, at info. rec is not kept.
func (r *Recorder) Record(rec *Record) {
	r.metrics.count(rec)
	level := levelOf(rec)
	if r.shortcut != nil && level == zapcore.InfoLevel && r.shortcut.take(rec) {
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

// Leave ends what Enter began.
func (r *Recorder) Leave() { r.metrics.inFlight.Dec() }

// usesSharedKey is also true when that was the reason to refuse: then there is
// no verified certificate to ask.
func (rec *Record) usesSharedKey() bool {
	return rec.SharedKey || rec.Reason == refusal.LegacySharedKey
}

func levelOf(rec *Record) zapcore.Level {
	failed := rec.Decision == Failed && rec.Reason.Status() >= http.StatusInternalServerError
	if failed || rec.Reason == refusal.Internal {
		return zapcore.ErrorLevel
	}
	return zapcore.InfoLevel
}
