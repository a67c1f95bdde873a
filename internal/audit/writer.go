package audit

import (
	"bytes"
	"cmp"
	"errors"
	"time"
)

var (
	errStuck = errors.New("the reader of the log does not read")
	errSlow  = errors.New("the reader of the log is too slow")
)

// writePending writes until no line is due or a write fails. At most one goroutine runs
// it.
func (b *Buffer) writePending() {
	b.mu.Lock()
	for b.written < b.due {
		if b.unwritten() == 0 {
			b.batch, b.queued, b.offset = b.queued, b.batch[:0], 0
			b.lostBefore = b.lost
		}
		if !b.writeChunk() {
			break
		}
		if b.unwritten() == 0 && (b.lost == b.lostBefore || len(b.queued) == 0) {
			b.losing = false
		}
	}
	b.active = false
	if b.err != nil || len(b.queued) > 0 {
		b.startTimer()
	}
	b.mu.Unlock()
	b.reportLost()
}

// writeChunk writes one chunk of lines and reports whether the write succeeded. It must
// be called with mu held, and releases mu during the write.
func (b *Buffer) writeChunk() bool {
	chunk := firstLines(b.batch[b.offset:])
	b.progress = time.Now()
	b.mu.Unlock()
	n, err := b.w.Write(chunk)
	b.mu.Lock()
	b.offset += n
	b.written += uint64(n) //nolint:gosec // io.Writer returns no negative number
	b.err = err
	close(b.changed)
	b.changed = make(chan struct{})
	return err == nil
}

// unwritten returns the number of bytes of the batch that are not written yet. It must
// be called with mu held.
func (b *Buffer) unwritten() int { return len(b.batch) - b.offset }

// firstLines returns the complete lines in the first [batchSize] bytes, so that progress
// of a slow reader is detected.
func firstLines(lines []byte) []byte {
	if len(lines) <= batchSize {
		return lines
	}
	if end := bytes.LastIndexByte(lines[:batchSize], '\n') + 1; end > 0 {
		return lines[:end]
	}
	return lines[:batchSize]
}

// reportLost reports dropped lines if lines can be written again.
func (b *Buffer) reportLost() {
	b.mu.Lock()
	lines := b.lost - b.reported
	if b.losing || lines == 0 || b.recovered == nil {
		b.mu.Unlock()
		return
	}
	b.reported = b.lost
	b.mu.Unlock()
	b.recovered(lines)
}

// awaitWritten waits until number bytes are written since the start. It returns an error
// if a write fails, or if the writer is stuck and the deadline has passed.
func (b *Buffer) awaitWritten(number uint64, deadline time.Time) error {
	for {
		b.mu.Lock()
		changed, err, done := b.changed, b.err, b.written >= number
		left := time.Until(b.progress.Add(stallAfter))
		b.mu.Unlock()
		switch {
		case done:
			return nil
		case err != nil:
			return err
		}
		left = max(left, time.Until(deadline))
		if left <= 0 {
			return errStuck
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Lost returns the number of dropped lines.
func (b *Buffer) Lost() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// Pending returns the number of bytes that are not written yet.
func (b *Buffer) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queued) + b.unwritten()
}

// Losing returns the reason for which lines are being lost, or nil. Lines are being lost
// from the first dropped line until a batch is written without a further drop.
func (b *Buffer) Losing() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.losing {
		return nil
	}
	return cmp.Or(b.fault(), errSlow)
}

// Unwritable returns an error if lines cannot be written: the latest write failed or is
// stuck, lines are being lost, or half of the buffer is in use.
func (b *Buffer) Unwritable() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fault(); err != nil {
		return err
	}
	if b.losing || len(b.queued)+b.unwritten() >= maxPending/2 {
		return errSlow
	}
	return nil
}

// fault returns the error of a failed or stuck write, or nil. It must be called with mu
// held.
func (b *Buffer) fault() error {
	switch {
	case b.err != nil:
		return b.err
	case b.active && time.Since(b.progress) >= stallAfter:
		return errStuck
	default:
		return nil
	}
}
