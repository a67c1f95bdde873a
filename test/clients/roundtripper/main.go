// Command roundtripper posts an event with a client certificate attached.
//
//	go run . mail.crt https://schedule.example.com/events
//
// The value of the header is the base64 of the certificate's DER, in one line. The file must
// begin with the certificate: a private key at its place is an error and is never sent.
package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const event = `{"event":{"start_time":"2013-08-01T16:20:00+00:00","end_time":"2013-08-01T18:20:00+00:00","name":"Meeting"}}`

// attached is an [http.RoundTripper] that sends a certificate with every request.
type attached struct {
	base        http.RoundTripper
	certificate string
}

// attach reads the certificate from a PEM file.
func attach(file string, base http.RoundTripper) (attached, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return attached{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return attached{}, fmt.Errorf("want a certificate at the beginning of %s", file)
	}
	return attached{base, base64.StdEncoding.EncodeToString(block.Bytes)}, nil
}

// RoundTrip sends a copy of the request, because a RoundTripper must not change its argument.
func (a attached) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-SSL-Auth", a.certificate)
	return a.base.RoundTrip(r)
}

func post(file, url string) error {
	transport, err := attach(file, http.DefaultTransport)
	if err != nil {
		return err
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the transport would send the certificate to the target of the redirect
	}}
	response, err := client.Post(url, "application/json", strings.NewReader(event))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Printf("%d\n%s\n", response.StatusCode, body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("refused with %s", response.Status)
	}
	return err
}

func main() {
	if err := post(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
