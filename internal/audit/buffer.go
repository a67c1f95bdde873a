package audit

import (
	"io"
	"sync"
	"time"
)

const (
	// batchSize is the number of queued bytes that starts a write.
	batchSize = 64 << 10
	// flushDelay is the longest time a line is queued, and the delay before a failed
	// write is repeated.
	flushDelay = 100 * time.Millisecond
	// maxPending limits the number of bytes that are not written yet.
	maxPending = 1 << 20
	// stallAfter is the duration of a write after which the log is considered stuck.
	stallAfter = time.Second
)

// Policy selects the treatment of requests while the log cannot be written.
type Policy string

// The policies, the values of LOG_FAILURE.
const (
	Continue Policy = "continue" // serve requests; lines are lost if the buffer is full
	Refuse   Policy = "refuse"   // refuse requests while no line can be written
)

// class selects the treatment of a line by the buffer.
type class int

const (
	routine      class = iota // the line of a request: written in a batch
	classRefusal              // the line of a request that was not forwarded: written in a batch
	urgent                    // written immediately, with all lines before it
)

// Buffer queues log lines and writes many of them with one system call, in a separate
// goroutine, so that a slow reader of the log does not delay requests.
//
// Lines of requests are queued for 100 ms or until 64 KiB are queued. For any other line,
// the caller waits until the line is written, or until the write fails or has made no
// progress for one second. While the writer is stuck or fails, up to 1 MiB of lines is
// kept, and further lines are dropped and counted. A failed write is repeated from the
// first byte that was not written. Lines are written in order and never in part.
//
// A Buffer is safe for concurrent use. [NewBuffer] returns one; it must be closed after
// the last line.
type Buffer struct {
	w      io.Writer
	policy Policy

	mu           sync.Mutex
	queued       []byte // lines after the batch
	batch        []byte // lines that are being written, or memory for the next queue
	offset       int    // number of written bytes of batch
	timer        *time.Timer
	timerRunning bool

	// accepted, written and due count bytes since the start. Bytes up to due are written
	// without further delay.
	accepted, written, due uint64

	active   bool          // the goroutine of writePending is running
	progress time.Time     // start of the current write
	changed  chan struct{} // closed after each write
	err      error         // result of the latest write

	lost       uint64 // dropped lines
	lostBefore uint64 // value of lost at the start of the latest batch
	reported   uint64 // number of lost lines that were passed to recovered
	losing     bool   // see Losing
	recovered  func(lines uint64)

	unbuffered bool // every line is urgent
	deadline   time.Time
}

// NewBuffer returns a buffer that writes to w. Its methods do not wait longer than
// documented, even if w blocks forever.
func NewBuffer(w io.Writer, p Policy) *Buffer {
	return &Buffer{w: w, policy: p, changed: make(chan struct{})}
}

// put queues one line, or drops and counts it if the buffer is full.
func (b *Buffer) put(line []byte, c class) {
	b.mu.Lock()
	if len(b.queued)+b.unwritten()+len(line) > b.limit(c) {
		b.lost++
		b.losing = true
		b.mu.Unlock()
		return
	}
	b.queued = append(b.queued, line...)
	b.accepted += uint64(len(line))
	number := b.accepted
	wait := c == urgent || b.unbuffered
	switch {
	case wait, len(b.queued) >= batchSize:
		b.requestWrite()
	default:
		b.startTimer()
	}
	b.mu.Unlock()
	if wait {
		_ = b.awaitWritten(number, time.Time{}) // Losing and Unwritable return the error
	}
}

// limit returns the maximum number of pending bytes including a line of the class. With
// the policy Refuse, lines of refused requests use one half. The other half is reserved
// for requests that were accepted before the log failed.
func (b *Buffer) limit(c class) int {
	if b.policy == Refuse && c == classRefusal {
		return maxPending / 2
	}
	return maxPending
}

// requestWrite starts writing all queued lines. After a failed write the timer starts the
// next attempt. It must be called with mu held.
func (b *Buffer) requestWrite() {
	b.due = b.accepted
	if b.err == nil {
		b.startWriter()
		return
	}
	b.startTimer()
}

// startWriter starts the goroutine of writePending unless it is running. It must be
// called with mu held.
func (b *Buffer) startWriter() {
	if b.active {
		return
	}
	b.active, b.progress = true, time.Now()
	go b.writePending()
}

// startTimer starts the timer unless it is running. It must be called with mu held.
func (b *Buffer) startTimer() {
	switch {
	case b.timerRunning:
		return
	case b.timer == nil:
		b.timer = time.AfterFunc(flushDelay, b.onTimer)
	default:
		b.timer.Reset(flushDelay)
	}
	b.timerRunning = true
}

// onTimer starts writing all queued lines, also after a failed write.
func (b *Buffer) onTimer() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timerRunning = false
	b.due = b.accepted
	b.startWriter()
}

// onRecovery sets the function that is called with the number of lost lines when lines
// can be written again. The function may write to the buffer.
func (b *Buffer) onRecovery(f func(lines uint64)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recovered = f
}

// End makes every further line urgent. The program calls it after the first signal.
// [Buffer.Close] waits until the deadline at most.
func (b *Buffer) End(deadline time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unbuffered, b.deadline = true, deadline
	b.requestWrite()
}

// Close writes all pending lines and returns the error of the write, if it failed. It
// waits for a stuck writer until the deadline of [Buffer.End]. Lines that follow are
// urgent. Close does not close the writer. It may be called more than once.
func (b *Buffer) Close() error {
	b.mu.Lock()
	b.unbuffered = true
	number, deadline := b.accepted, b.deadline
	b.due, b.err = number, nil // one more attempt after a failed one
	if b.written < number {
		b.startWriter()
	}
	if b.timer != nil {
		b.timerRunning = false
		b.timer.Stop()
	}
	b.mu.Unlock()
	err := b.awaitWritten(number, deadline)
	b.reportLost()
	return err
}
