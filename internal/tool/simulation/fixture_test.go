package simulation_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// parse returns the rules in a YAML document.
func parse(tb testing.TB, text string) simulation.Rules {
	tb.Helper()
	document, err := rules.Parse("rules.yaml", []byte(text), identity.OU)
	if err != nil {
		tb.Fatal(err)
	}
	return simulation.Rules{Document: document}
}

// replay replays lines with the rules.
func replay(tb testing.TB, r simulation.Rules, lines ...string) simulation.Report {
	tb.Helper()
	p := simulation.NewReplay(r)
	if err := p.Read(strings.NewReader(strings.Join(lines, "\n")), proceed); err != nil {
		tb.Fatal(err)
	}
	return p.Report()
}

func proceed() error { return nil }

// gatewayLog writes lines as the gateway does.
type gatewayLog struct {
	*audit.Recorder
	text bytes.Buffer
}

func newGatewayLog() *gatewayLog {
	l := &gatewayLog{}
	log, _ := audit.NewLogger(zapcore.InfoLevel, "json", zapcore.AddSync(&l.text))
	l.Recorder = audit.New(log, prometheus.NewRegistry())
	return l
}

// line returns the line of a record.
func (l *gatewayLog) line(rec audit.Record) string {
	l.text.Reset()
	l.Record(&rec)
	return strings.TrimSuffix(l.text.String(), "\n")
}
