package replay

// NewMemoryOf is a memory of another size.
func NewMemoryOf(capacity int) *Memory { return newMemory(capacity) }

const (
	MaxAhead = maxAhead
	Chunk    = chunk
)

// Places is how many entries there ever were in the memory.
func (m *Memory) Places() int {
	if m.table == nil {
		return 0
	}
	return int(m.table.fresh) - 1
}

// Known is how many clients the memory knows, and of how many seconds.
func (m *Memory) Known() (clients, seconds int) {
	return len(m.shares.numbers), len(m.table.seconds)
}
