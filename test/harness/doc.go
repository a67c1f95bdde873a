// Package harness builds and runs the programs of this repository for tests.
//
// It starts processes and waits for lines of their output, issues certificates (unusual ones
// with openssl), sends requests byte by byte, runs upstreams that record what they receive,
// and searches all output for credentials when the tests of a package have run.
package harness
