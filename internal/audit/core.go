package audit

import "go.uber.org/zap/zapcore"

// core is the [zapcore.Core] of a logger on a [Buffer].
type core struct {
	zapcore.LevelEnabler

	encoder zapcore.Encoder
	buffer  *Buffer
}

// With implements [zapcore.Core].
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	with := *c
	with.encoder = c.encoder.Clone()
	for i := range fields {
		fields[i].AddTo(with.encoder)
	}
	return &with
}

// Check implements [zapcore.Core].
func (c *core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements [zapcore.Core]. A line that cannot be written is not an error of
// its caller: the buffer counts it.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	c.buffer.put(line.Bytes(), classOf(e, fields))
	return nil
}

// Sync implements [zapcore.Core]. It does nothing: no line needs it, because the
// lines that zap would call it for are urgent.
func (c *core) Sync() error { return nil }

// classOf returns the class of a line. Lines of requests have one field, the record.
func classOf(e zapcore.Entry, fields []zapcore.Field) class {
	if e.Message != requestMessage || e.Level >= zapcore.ErrorLevel || len(fields) != 1 {
		return urgent
	}
	l, ok := fields[0].Interface.(*line)
	if !ok {
		return urgent
	}
	return (*Record)(l).class()
}

// class returns the class of the record's line below the level error.
func (rec *Record) class() class {
	if rec.Decision == Refused {
		return classRefusal
	}
	return routine
}

// bufferOf returns the buffer of a logger, or nil for a logger without one.
func bufferOf(c zapcore.Core) *Buffer {
	switch c := c.(type) {
	case *shortcut:
		return c.buffer
	case *core:
		return c.buffer
	default:
		return nil
	}
}
