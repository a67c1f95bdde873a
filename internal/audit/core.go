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

// Write implements [zapcore.Core]. It returns no error for a line that cannot be
// written; the buffer counts the line.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	c.buffer.put(line.Bytes(), classOf(e, fields))
	return nil
}

// Sync implements [zapcore.Core]. It does nothing, because the lines for which zap calls
// Sync are written immediately.
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

// class returns the class of the record's line if its level is below error.
func (rec *Record) class() class {
	if rec.Decision == Refused {
		return classRefusal
	}
	return routine
}

// bufferOf returns the buffer of a logger, or nil for a logger without one.
func bufferOf(c zapcore.Core) *Buffer {
	switch c := c.(type) {
	case *jsonCore:
		return c.buffer
	case *core:
		return c.buffer
	default:
		return nil
	}
}
