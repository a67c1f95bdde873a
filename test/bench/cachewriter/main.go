// Command cachewriter displaces the content of the processor's caches: for the given duration
// it writes to an area of memory that is larger than the caches. scripts/bench.sh --busy runs
// it on the core that the measured gateway does not use.
package main

import (
	"flag"
	"fmt"
	"time"
)

// line is the size of a cache line.
const line = 64

func main() {
	size := flag.Int("mib", 64, "of memory")
	duration := flag.Duration("duration", 10*time.Second, "after which the program ends")
	flag.Parse()
	fmt.Println(writeLines(make([]byte, *size<<20), time.Now().Add(*duration)), "cache lines written")
}

// writeLines writes to one cache line after the other, in an order that a prefetcher cannot
// predict, until the end time. It returns the number of written lines.
func writeLines(memory []byte, end time.Time) int {
	const batch = 1 << 16
	lines := uint64(len(memory) / line)
	at, written := uint64(1), 0
	for time.Now().Before(end) {
		for range batch {
			at = at*6364136223846793005 + 1442695040888963407
			memory[(at>>32)%lines*line]++
		}
		written += batch
	}
	return written
}
