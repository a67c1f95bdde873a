package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zapgrpc"
	"google.golang.org/grpc/grpclog"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
)

// failureMessage is the message of the line that says why the gateway did not start
// or ended with an error.
const failureMessage = "gateway failed"

// surviveReader makes writes to a pipe without a reader return an error. Without it
// the Go runtime ends the program when that pipe is standard error.
func surviveReader() { signal.Ignore(syscall.SIGPIPE) }

// captureLogs sends what the libraries write to standard error through log, until
// restore is called for the standard library's logger. The others are not used after
// the gateway has ended.
func captureLogs(log *zap.Logger) (restore func()) {
	// gRPC writes errors only, unless an environment variable asks for more.
	grpclog.SetLoggerV2(zapgrpc.NewLogger(log.Named("grpc").WithOptions(zap.IncreaseLevel(zapcore.ErrorLevel))))
	return zap.RedirectStdLog(log)
}

// crash logs a panic and ends the program, as the Go runtime would, which writes plain
// text. It must be deferred.
func crash(log *zap.Logger, lines *audit.Buffer) {
	reason := recover()
	if reason == nil {
		return
	}
	log.Error("panic", zap.Any("panic", reason), zap.Stack("stack"))
	_ = lines.Close()
	os.Exit(2)
}

// logsErrors reports whether the errors of a command are lines of a log: those of the
// gateway are, unless a person reads them at a terminal.
func logsErrors(args []string, s surroundings) bool {
	return len(args) > 0 && args[0] == "serve" && !isTerminal(s.stderr)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// logFailure writes the error to standard error in the format of LOG_FORMAT, one line
// for each fault of the configuration. It does not wait for a reader that is stuck.
func logFailure(s surroundings, err error) {
	surviveReader()
	lines := audit.NewBuffer(s.stderr, audit.Continue)
	defer func() { _ = lines.Close() }()
	format := s.variables()["LOG_FORMAT"]
	if format != "console" {
		format = "json"
	}
	log, _ := audit.NewBufferedLogger(zapcore.InfoLevel, format, lines)
	if faults, ok := errors.AsType[*config.Error](err); ok {
		for _, f := range faults.Faults {
			log.Error(failureMessage, zap.String("variable", f.Variable), zap.String("error", printableLines(f.Problem)))
		}
		return
	}
	log.Error(failureMessage, zap.String("error", printableLines(err.Error())))
}

// report tells the user of the error and returns its exit code.
func report(args []string, s surroundings, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo): // said already
	case logsErrors(args, s):
		logFailure(s, err)
	default:
		_, _ = fmt.Fprintf(s.stderr, "certgate: %s\n", printableLines(err.Error()))
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}
