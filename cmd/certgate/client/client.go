// Package client signs the requests that a Go program sends through certgate.
//
// [Load] reads the client's certificate and key, and a [Transport] attaches the
// certificate to each request and proves with a signature that the program holds
// the key (RFC 9421, RFC 9530). Whoever sees such a request can do nothing with
// it: the gateway accepts it once, unchanged, for one host and for a minute.
//
//	credential, err := client.Load("mail.crt", "mail.key")
//	…
//	schedule := http.Client{Transport: &client.Transport{
//		Credential: credential,
//		Origin:     "https://schedule.example.com",
//	}}
//
// Programs in other languages use certgate agent, which is this package behind a
// local address, or sign for themselves as test/clients shows.
//
// The package is below cmd because the top level of the repository is closed to
// new folders, and internal is closed to importers. It is a library like any
// other, and of the commands it needs nothing.
package client
