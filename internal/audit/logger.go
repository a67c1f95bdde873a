package audit

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// timeLayout is RFC 3339 in nanoseconds with a fixed width, so that lines sort
// as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// NewLogger makes the program's logger: time, level and msg first, times in
// UTC, nothing sampled, no stack traces. The format is "console" for people
// and JSON otherwise. The level can be changed while the program runs. Each line
// is written to w before its caller goes on; writes are serialized.
func NewLogger(level zapcore.Level, format string, w zapcore.WriteSyncer) (*zap.Logger, zap.AtomicLevel) {
	atomic := zap.NewAtomicLevelAt(level)
	return newLogger(zapcore.NewCore(newEncoder(format), zapcore.Lock(w), atomic)), atomic
}

// NewBufferedLogger makes the same logger on a buffer. Lines of requests wait for
// others. After lines were lost, a warning says how many.
func NewBufferedLogger(level zapcore.Level, format string, b *Buffer) (*zap.Logger, zap.AtomicLevel) {
	atomic := zap.NewAtomicLevelAt(level)
	var c zapcore.Core = &core{LevelEnabler: atomic, encoder: newEncoder(format), buffer: b}
	if format != "console" {
		c = &shortcut{Core: c, buffer: b}
	}
	log := newLogger(c)
	b.onRecovery(func(lines uint64) { log.Warn("log lines were lost", zap.Uint64("lines", lines)) })
	return log, atomic
}

// newLogger has zap say nothing of failed writes: it would say so as plain text on
// standard error.
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
