package main

import (
	"bytes"
	"encoding/json"
	"log" //nolint:depguard // the logger that net/http writes to
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/grpclog"

	"github.com/certgate/certgate/internal/audit"
)

// TestCaptureLogs checks that messages of libraries are lines of the log.
func TestCaptureLogs(t *testing.T) {
	var out bytes.Buffer
	lines := audit.NewBuffer(&out, audit.Continue)
	logger, _ := audit.NewBufferedLogger(zapcore.InfoLevel, "json", lines)
	restore := captureLogs(logger)
	grpclog.Error("an error\nof two lines")
	grpclog.Warning("no error")
	log.Print("of net/http")
	restore()
	if err := lines.Close(); err != nil {
		t.Fatal(err)
	}
	var messages []string
	for line := range strings.Lines(out.String()) {
		var l struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("want JSON, found %q", line)
		}
		messages = append(messages, l.Msg)
	}
	if want := "an error\nof two lines,of net/http"; strings.Join(messages, ",") != want {
		t.Errorf("messages %q, want %q", messages, want)
	}
}

// TestLogsErrors checks which commands report errors as lines of a log.
func TestLogsErrors(t *testing.T) {
	var buffer bytes.Buffer
	for _, tt := range []struct {
		args []string
		want bool
	}{{[]string{"serve"}, true}, {[]string{"serve", "--flag"}, true}, {[]string{"check"}, false}, {nil, false}} {
		if found := logsErrorsAsLines(tt.args, environment{stderr: &buffer}); found != tt.want {
			t.Errorf("%q: found %t, want %t", tt.args, found, tt.want)
		}
	}
}
