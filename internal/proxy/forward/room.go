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

// MaxHeldBody is the longest body that is held, in bytes.
const MaxHeldBody = maxHeldBody

// MaxHeld returns how many bytes of bodies are held at most: 256 MiB, or a quarter of
// the limit of the process's memory where GOMEMLIMIT sets one.
func MaxHeld() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return min(maxHeld, limit/4)
	}
	return maxHeld
}

func newRoom() room { return room{most: MaxHeld(), held: map[string]int64{}} }

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
