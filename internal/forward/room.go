package forward

import (
	"math"
	"runtime/debug"
	"sync"
)

// room is the memory that bodies may take together. A client may hold as much as is
// free: one alone gets half of it, n get n of n+1 parts, and there is always some left
// for another. It is safe for concurrent use; [newRoom] makes one.
type room struct {
	mu    sync.Mutex
	most  int64
	taken int64
	held  map[string]int64 // by the name of each client that holds some
}

// newRoom has at most a quarter of the memory that the process is to stay below, if
// that was said (GOMEMLIMIT).
func newRoom() room {
	most := int64(maxHeld)
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		most = min(most, limit/4)
	}
	return room{most: most, held: map[string]int64{}}
}

func (r *room) take(client string, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held[client]+n > r.most-r.taken {
		return false
	}
	r.held[client] += n
	r.taken += n
	return true
}

func (r *room) free(client string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= n
	if r.held[client] -= n; r.held[client] == 0 {
		delete(r.held, client)
	}
}
