// Package server serves plain HTTP/1.1 requests without net/http's server, and leaves all
// other requests to it.
//
// net/http's server supports all of HTTP/1.1, and every request pays for that: a second
// goroutine that waits for the client to hang up, several buffered readers, and a writer on
// top of a writer. Nearly all requests to a gateway need none of it. A [Server] reads each
// connection itself and calls the handler for plain requests. At the first sign of anything
// else it hands the connection, with every unused byte, to net/http. It refuses nothing
// itself.
//
// This is safe only if every request that the server accepts is the same request to
// net/http. The fuzz tests of this package compare the two.
//
// The fast path needs Linux. On other systems net/http serves every request.
package server
