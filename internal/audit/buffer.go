package audit

import (
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

const (
	// bufferSize is how many bytes of lines wait to be written.
	bufferSize = 64 << 10
	// flushDelay is how long they wait.
	flushDelay = 100 * time.Millisecond
)

// Buffer writes many lines of requests with one system call. A line waits for
// 100 ms or 64 KiB, whichever comes first. Lines keep their order, none is torn
// and none is dropped: while the other side does not read, 64 KiB more are taken,
// and then everybody who has something to say waits.
//
// A logger that [NewLogger] makes on a Buffer lets only the lines of requests
// wait, and of these only what is below the level error; every other line is
// written at once, with all that stand before it. It is safe for concurrent use;
// [NewBuffer] makes one, and after the last line it must be closed.
type Buffer struct {
	w zapcore.WriteSyncer

	writing sync.Mutex // held while w is written to; taken before mu
	spare   []byte     // under writing

	mu      sync.Mutex
	waiting []byte
	timer   *time.Timer // flushes; nil before the first line
	armed   bool
	closed  bool
	err     error // of a write that nobody has heard of
}

// NewBuffer writes to w.
func NewBuffer(w zapcore.WriteSyncer) *Buffer { return &Buffer{w: w} }

// Write takes one line. An error may be that of lines before it.
func (b *Buffer) Write(line []byte) (int, error) {
	taken, through := b.add(line)
	for !taken {
		b.flush(len(line))
		taken, through = b.add(line)
	}
	if through {
		b.flush(bufferSize)
	}
	return len(line), b.fault()
}

// add takes the line if there is room, and reports whether it must not wait.
func (b *Buffer) add(line []byte) (taken, through bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.room(len(line)) {
		return false, false
	}
	b.waiting = append(b.waiting, line...)
	if !b.closed {
		b.arm()
	}
	return true, b.closed
}

// offer takes a line when it may wait and there is no fault to tell of.
func (b *Buffer) offer(line []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.err != nil || !b.room(len(line)) {
		return false
	}
	b.waiting = append(b.waiting, line...)
	b.arm()
	return true
}

// room reports whether n bytes more may wait, as one line may in any case. It
// wants mu held.
func (b *Buffer) room(n int) bool {
	return len(b.waiting) == 0 || len(b.waiting)+n <= bufferSize
}

// arm wants mu held.
func (b *Buffer) arm() {
	switch {
	case b.armed:
		return
	case b.timer == nil:
		b.timer = time.AfterFunc(flushDelay, b.expire)
	default:
		b.timer.Reset(flushDelay)
	}
	b.armed = true
}

func (b *Buffer) expire() {
	b.mu.Lock()
	b.armed = false
	b.mu.Unlock()
	b.flush(bufferSize)
}

// flush writes what waits, unless somebody else has made room for n bytes. Lines
// can come in meanwhile.
func (b *Buffer) flush(n int) {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	if b.room(n) {
		b.mu.Unlock()
		return
	}
	lines := b.waiting
	b.waiting = b.spare[:0]
	b.mu.Unlock()
	b.spare = lines
	if _, err := b.w.Write(lines); err != nil {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
}

// fault is the error that is still to be told.
func (b *Buffer) fault() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.err
	b.err = nil
	return err
}

// Sync writes what waits and syncs the file behind.
func (b *Buffer) Sync() error {
	b.flush(bufferSize)
	if err := b.fault(); err != nil {
		return err
	}
	return b.w.Sync()
}

// Close writes what waits. Lines that come later are written one by one, so
// nothing is lost when the program ends while somebody still has something to
// say. The writer behind stays open. It may be called twice.
func (b *Buffer) Close() error {
	b.mu.Lock()
	b.closed = true
	if b.timer != nil {
		b.timer.Stop()
	}
	b.mu.Unlock()
	b.flush(bufferSize)
	return b.fault()
}

// hurry is called behind each line.
func (b *Buffer) hurry(e zapcore.Entry) error {
	if e.Message == requestMessage && e.Level < zapcore.ErrorLevel {
		return nil
	}
	b.flush(bufferSize)
	return b.fault()
}
