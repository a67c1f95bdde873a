package client

import (
	"sync"
	"sync/atomic"
)

const (
	// largePiece is the size of the memory of an upload that is longer than MaxBuffered.
	// Larger reads and writes need less CPU for each byte.
	largePiece = 256 << 10
	// maxLarge bounds the number of uploads that use a large piece at the same time, because
	// a slow client keeps the memory until the end of its body.
	maxLarge = 16
)

// pieces holds the memory of uploads for the next ones. It is safe for concurrent use.
type pieces struct {
	small, large sync.Pool // of *[]byte
	largeInUse   atomic.Int32
}

// get returns memory for an upload of a length in bytes, until put.
func (p *pieces) get(length int64) *[]byte {
	if length <= MaxBuffered {
		return from(&p.small, MaxBuffered)
	}
	if p.largeInUse.Add(1) <= maxLarge {
		return from(&p.large, largePiece)
	}
	p.largeInUse.Add(-1)
	return from(&p.small, MaxBuffered)
}

func (p *pieces) put(piece *[]byte) {
	if len(*piece) == MaxBuffered {
		p.small.Put(piece)
		return
	}
	p.large.Put(piece)
	p.largeInUse.Add(-1)
}

// from takes memory from the pool, or allocates it if the pool is empty.
func from(pool *sync.Pool, size int) *[]byte {
	if piece, ok := pool.Get().(*[]byte); ok {
		return piece
	}
	piece := make([]byte, size)
	return &piece
}
