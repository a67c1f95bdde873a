package audit

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// timeLayout is RFC 3339 in nanoseconds with a fixed width, so that lines sort
// as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// NewLogger makes the program's logger: time, level and msg first, times in
// UTC, nothing sampled, no stack traces. The format is "console" for people
// and JSON otherwise. The level can be changed while the program runs. Writes
// to w are serialized; on a [Buffer], the lines of requests wait there.
func NewLogger(level zapcore.Level, format string, w zapcore.WriteSyncer) (*zap.Logger, zap.AtomicLevel) {
	atomic := zap.NewAtomicLevelAt(level)
	encoder := zapcore.NewJSONEncoder
	if format == "console" {
		encoder = zapcore.NewConsoleEncoder
	}
	b, ok := w.(*Buffer)
	if !ok {
		return zap.New(zapcore.NewCore(encoder(encoderConfig()), zapcore.Lock(w), atomic)), atomic
	}
	core := zapcore.RegisterHooks(zapcore.NewCore(encoder(encoderConfig()), b, atomic), b.hurry)
	if format != "console" {
		core = &shortcut{Core: core, buffer: b}
	}
	return zap.New(core), atomic
}

func encoderConfig() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		NameKey:        "logger",
		MessageKey:     "msg",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeTime:     encodeTime,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
	}
}

func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format(timeLayout))
}
