package otlp

import (
	"errors"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// maxErrorText bounds the text of an error in the log, in bytes. An error can contain the
// response of the collector.
const maxErrorText = 512

// reporter writes the errors of the SDK to the log, at most one line per minute, because a
// collector that is down causes an error for every batch. The metric has the number of
// spans.
type reporter struct {
	out    *zap.Logger
	minute rate.Sometimes
}

func newReporter(log *zap.Logger) *reporter {
	return &reporter{out: log, minute: rate.Sometimes{Interval: time.Minute}}
}

// install makes the reporter the receiver of the errors that the SDK reports globally, such
// as the invalid value of one of its environment variables.
func (r *reporter) install() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(r.log))
	otel.SetLogger(funcr.New(func(_, args string) { r.log(errors.New(args)) }, funcr.Options{}))
}

func (r *reporter) log(err error) {
	r.minute.Do(func() {
		text := err.Error()
		r.out.Warn("spans were not exported", zap.String("error", text[:min(len(text), maxErrorText)]))
	})
}
