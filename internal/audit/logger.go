package audit

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// timeLayout is RFC 3339 with nanoseconds in a fixed width, so that sorting lines as
// text sorts them by time.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// NewLogger returns a logger with time, level and msg as the first fields, times in
// UTC, no sampling and no stack traces. The format is "console" or, for any other value,
// JSON. The returned level can be changed while the program runs. Logging methods return
// after the line was written to w; writes are serialized.
func NewLogger(level zapcore.Level, format string, w zapcore.WriteSyncer) (*zap.Logger, zap.AtomicLevel) {
	atomic := zap.NewAtomicLevelAt(level)
	return newLogger(zapcore.NewCore(newEncoder(format), zapcore.Lock(w), atomic)), atomic
}

// NewBufferedLogger returns the same logger with a buffer, which writes lines of requests
// in batches. After lines were lost, the logger writes a warning with their number.
func NewBufferedLogger(level zapcore.Level, format string, b *Buffer) (*zap.Logger, zap.AtomicLevel) {
	atomic := zap.NewAtomicLevelAt(level)
	var c zapcore.Core = &core{LevelEnabler: atomic, encoder: newEncoder(format), buffer: b}
	if format != "console" {
		c = &jsonCore{Core: c, buffer: b}
	}
	log := newLogger(c)
	b.onRecovery(func(lines uint64) { log.Warn("log lines were lost", zap.Uint64("lines", lines)) })
	return log, atomic
}

// newLogger returns a logger that does not report failed writes, because zap reports
// them as unstructured text on standard error.
func newLogger(c zapcore.Core) *zap.Logger {
	return zap.New(c, zap.ErrorOutput(zapcore.AddSync(io.Discard)))
}

func newEncoder(format string) zapcore.Encoder {
	c := zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		NameKey:        "logger",
		MessageKey:     "msg",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeTime:     encodeTime,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
	}
	if format == "console" {
		return zapcore.NewConsoleEncoder(c)
	}
	return zapcore.NewJSONEncoder(c)
}

func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format(timeLayout))
}
