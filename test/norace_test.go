//go:build !race

package test

// raceDetector reports whether the tests, and so the binaries, have it.
const raceDetector = false
