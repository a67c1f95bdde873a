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

// failureMessage is the message of the log line with the error for which the gateway
// did not start or ended.
const failureMessage = "gateway failed"

// ignoreBrokenPipe makes writes to a pipe without a reader return an error. Otherwise
// the Go runtime ends the program when that pipe is standard error.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }

// captureLogs redirects the log output of libraries to log. restore undoes this for the
// standard library's logger; the other loggers are not used after the gateway has ended.
func captureLogs(log *zap.Logger) (restore func()) {
	// By default, gRPC writes errors only. An environment variable can set a lower level.
	grpclog.SetLoggerV2(zapgrpc.NewLogger(log.Named("grpc").WithOptions(zap.IncreaseLevel(zapcore.ErrorLevel))))
	return zap.RedirectStdLog(log)
}

// logPanic logs a panic and ends the program with exit code 2. The Go runtime would
// write the panic as plain text instead. logPanic must be deferred.
func logPanic(log *zap.Logger, lines *audit.Buffer) {
	reason := recover()
	if reason == nil {
		return
	}
	log.Error("panic", zap.Any("panic", reason), zap.Stack("stack"))
	_ = lines.Close()
	os.Exit(2)
}

// logsErrorsAsLines reports whether the error of a command is written as a log line:
// the error of certgate serve is, unless standard error is a terminal.
func logsErrorsAsLines(args []string, env environment) bool {
	return len(args) > 0 && args[0] == "serve" && !isTerminal(env.stderr)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// logFailure writes the error to standard error in the format of LOG_FORMAT, with one
// line for each fault of the configuration. It does not wait for a stuck reader.
func logFailure(env environment, err error) {
	ignoreBrokenPipe()
	lines := audit.NewBuffer(env.stderr, audit.Continue)
	defer func() { _ = lines.Close() }()
	format := env.variables()["LOG_FORMAT"]
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

// exitCode prints the error of a command and returns its exit code.
func exitCode(args []string, env environment, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSilent): // the command has printed its verdict
	case logsErrorsAsLines(args, env):
		logFailure(env, err)
	default:
		_, _ = fmt.Fprintf(env.stderr, "certgate: %s\n", printableLines(err.Error()))
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}
