package audit

import (
	"io"
	"sync"
	"time"
)

const (
	// batchSize is how many bytes of lines wait before they are written.
	batchSize = 64 << 10
	// flushDelay is how long a line waits for others, and how long a failed write
	// waits for its repetition.
	flushDelay = 100 * time.Millisecond
	// maxPending bounds the bytes of lines that are not written yet.
	maxPending = 1 << 20
	// stallAfter is how long a write may take before the log counts as stuck.
	stallAfter = time.Second
)

// Policy says what happens to requests while the log cannot be written.
type Policy string

// The policies, the values of LOG_FAILURE.
const (
	Continue Policy = "continue" // requests go on, lines that find no room are lost
	Refuse   Policy = "refuse"   // requests are refused while no line can be written
)

// class says how the buffer treats a line.
type class int

const (
	routine      class = iota // of a request: waits for others
	classRefusal              // the same, of a request that was not forwarded
	urgent                    // written at once, with all lines before it
)

// Buffer collects log lines and writes many of them with one system call, in a
// goroutine of its own, so that no caller depends on the reader of the log.
//
// Lines of requests wait for 100 ms or 64 KiB, whichever comes first. The caller of
// any other line waits until it is written, but not for a writer that returns an
// error or that has taken one second without progress. Up to 1 MiB of lines is kept
// while the writer is stuck or fails; a failed write is repeated from the byte at
// which it failed. Further lines are dropped and counted. Lines keep their order and
// are never torn.
//
// A Buffer is safe for concurrent use. [NewBuffer] makes one; it must be closed
// after the last line.
type Buffer struct {
	w      io.Writer
	policy Policy

	mu      sync.Mutex
	waiting []byte // lines that are in no batch
	batch   []byte // lines that are being written, or the memory of the next waiting
	offset  int    // how much of batch is written
	timer   *time.Timer
	armed   bool

	// taken, written and due count bytes since the start: accepted, written, and to be
	// written without further delay.
	taken, written, due uint64

	active   bool          // the goroutine of run exists
	progress time.Time     // when the write that is running began
	changed  chan struct{} // closed after each write
	err      error         // of the latest write

	lost       uint64 // dropped lines
	lostBefore uint64 // lost when the latest batch was taken
	told       uint64 // how many of the lost lines recovered was told of
	losing     bool   // see Losing
	recovered  func(lines uint64)

	ending   bool // no line waits
	deadline time.Time
}

// NewBuffer returns a buffer that writes to w. Its methods never wait for w longer
// than documented, even if w blocks for ever.
func NewBuffer(w io.Writer, p Policy) *Buffer {
	return &Buffer{w: w, policy: p, changed: make(chan struct{})}
}

// put takes one line, or drops and counts it when there is no room.
func (b *Buffer) put(line []byte, c class) {
	b.mu.Lock()
	if len(b.waiting)+b.unwritten()+len(line) > b.limit(c) {
		b.lost++
		b.losing = true
		b.mu.Unlock()
		return
	}
	b.waiting = append(b.waiting, line...)
	b.taken += uint64(len(line))
	number := b.taken
	wait := c == urgent || b.ending
	switch {
	case wait, len(b.waiting) >= batchSize:
		b.push()
	default:
		b.arm()
	}
	b.mu.Unlock()
	if wait {
		_ = b.await(number, time.Time{}) // Losing and Unwritable report it
	}
}

// limit returns how many bytes may be pending with another line of the class. With
// the policy Refuse, lines of refused requests use one half only: the other half
// is for requests that were let through before the log failed.
func (b *Buffer) limit(c class) int {
	if b.policy == Refuse && c == classRefusal {
		return maxPending / 2
	}
	return maxPending
}

// push has everything written that was taken so far. After a failed write that is
// left to the timer. It must be called with mu held.
func (b *Buffer) push() {
	b.due = b.taken
	if b.err == nil {
		b.start()
		return
	}
	b.arm()
}

// start begins to write. It must be called with mu held.
func (b *Buffer) start() {
	if b.active {
		return
	}
	b.active, b.progress = true, time.Now()
	go b.run()
}

// arm starts the timer unless it runs. It must be called with mu held.
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
	defer b.mu.Unlock()
	b.armed = false
	b.due = b.taken
	b.start()
}

// onRecovery sets the function that is told, after lines were lost and when lines can
// be written again, how many were lost. It may write to the buffer.
func (b *Buffer) onRecovery(f func(lines uint64)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recovered = f
}

// End makes every further line urgent, for the time between the first signal and
// the end of the program. [Buffer.Close] waits until the deadline.
func (b *Buffer) End(deadline time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ending, b.deadline = true, deadline
	b.push()
}

// Close writes what is pending and returns the error of the last attempt, if it
// failed. For a writer that is stuck it waits until the deadline of [Buffer.End].
// Later lines are written one by one. The writer stays open. Close may be called
// more than once.
func (b *Buffer) Close() error {
	b.mu.Lock()
	b.ending = true
	number, deadline := b.taken, b.deadline
	b.due, b.err = number, nil // one more attempt after a failed one
	if b.written < number {
		b.start()
	}
	if b.timer != nil {
		b.armed = false
		b.timer.Stop()
	}
	b.mu.Unlock()
	err := b.await(number, deadline)
	b.tell()
	return err
}
