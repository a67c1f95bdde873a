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
	var options []zap.Option
	if b, ok := w.(*Buffer); ok {
		options = append(options, zap.Hooks(b.hurry))
	} else {
		w = zapcore.Lock(w)
	}
	encoder := newEncoder()
	if format == "console" {
		encoder = zapcore.NewConsoleEncoder(encoderConfig())
	}
	return zap.New(zapcore.NewCore(encoder, w, atomic), options...), atomic
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
