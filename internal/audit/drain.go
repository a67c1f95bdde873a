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

// run writes until nothing is due, or until a write fails. There is one at a time.
func (b *Buffer) run() {
	b.mu.Lock()
	for b.written < b.due {
		if b.unwritten() == 0 {
			b.batch, b.waiting, b.offset = b.waiting, b.batch[:0], 0
			b.lostBefore = b.lost
		}
		if !b.writeChunk() {
			break
		}
		if b.unwritten() == 0 && (b.lost == b.lostBefore || len(b.waiting) == 0) {
			b.losing = false
		}
	}
	b.active = false
	if b.err != nil || len(b.waiting) > 0 {
		b.arm()
	}
	b.mu.Unlock()
	b.tell()
}

// writeChunk writes lines of one chunk, and reports whether that succeeded. It must
// be called with mu held, and releases it during the write.
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

// unwritten returns how many bytes of the batch are not written yet. It must be
// called with mu held.
func (b *Buffer) unwritten() int { return len(b.batch) - b.offset }

// firstLines returns the whole lines in the first [batchSize] bytes, so that the
// progress of a slow reader can be seen.
func firstLines(lines []byte) []byte {
	if len(lines) <= batchSize {
		return lines
	}
	if end := bytes.LastIndexByte(lines[:batchSize], '\n') + 1; end > 0 {
		return lines[:end]
	}
	return lines[:batchSize]
}

// tell reports the dropped lines once lines can be written again.
func (b *Buffer) tell() {
	b.mu.Lock()
	lines := b.lost - b.told
	if b.losing || lines == 0 || b.recovered == nil {
		b.mu.Unlock()
		return
	}
	b.told = b.lost
	b.mu.Unlock()
	b.recovered(lines)
}

// await waits until the first bytes, this many, are written. It returns early when
// a write fails, and when one is stuck and the deadline has passed.
func (b *Buffer) await(number uint64, deadline time.Time) error {
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

// Lost returns how many lines have been dropped.
func (b *Buffer) Lost() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// Losing returns why lines are being lost, or nil. Lines are being lost from the
// first one that is dropped until a batch is written without further drops.
func (b *Buffer) Losing() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.losing {
		return nil
	}
	return cmp.Or(b.fault(), errSlow)
}

// Unwritable returns why no line can be written, or nil: the latest write failed or
// is stuck, lines are being lost, or half of the room is taken.
func (b *Buffer) Unwritable() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fault(); err != nil {
		return err
	}
	if b.losing || len(b.waiting)+b.unwritten() >= maxPending/2 {
		return errSlow
	}
	return nil
}

// fault must be called with mu held.
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
