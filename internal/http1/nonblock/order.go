//go:build linux && !race

package nonblock

// Only the race detector needs these; see order_race.go.
func afterRead(uintptr) {}
func beforeWrite()      {}
