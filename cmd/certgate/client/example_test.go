package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certgate/certgate/cmd/certgate/client"
	"github.com/certgate/certgate/internal/tool/pki"
)

// A program adds an event to the schedule service through the gateway.
func ExampleTransport() {
	gateway, files := newExample()
	defer gateway.Close()
	defer os.RemoveAll(files)

	credential, err := client.Load(filepath.Join(files, "mail.crt"), filepath.Join(files, "mail.key"))
	if err != nil {
		fmt.Println(err)
		return
	}
	schedule := http.Client{Transport: &client.Transport{Credential: credential, Origin: gateway.URL}}
	response, err := schedule.Post(gateway.URL+"/events", "application/json", strings.NewReader(`{"event":{"name":"Meeting"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(response.StatusCode)
	fmt.Print(string(body))
	// Output:
	// 201
	// signed: ("@method" "@authority" "@path" "@query" "x-ssl-auth" "content-digest" "content-type")
}

// A program that runs longer than its certificate is valid replaces the credential,
// for example when the files have changed.
func ExampleTransport_source() {
	gateway, files := newExample()
	defer gateway.Close()
	defer os.RemoveAll(files)

	var current atomic.Pointer[client.Credential]
	renew := func() error {
		credential, err := client.Load(filepath.Join(files, "mail.crt"), filepath.Join(files, "mail.key"))
		if err != nil {
			return err // the previous credential stays in use
		}
		current.Store(credential)
		return nil
	}
	if err := renew(); err != nil {
		fmt.Println(err)
		return
	}
	schedule := http.Client{Transport: &client.Transport{Source: current.Load, Origin: gateway.URL}}
	response, err := schedule.Get(gateway.URL + "/events")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode)
	// Output: 200
}

// Sign prepares a request that is sent by other code.
func ExampleTransport_Sign() {
	gateway, files := newExample()
	defer gateway.Close()
	defer os.RemoveAll(files)

	credential, err := client.Load(filepath.Join(files, "mail.crt"), filepath.Join(files, "mail.key"))
	if err != nil {
		fmt.Println(err)
		return
	}
	transport := client.Transport{Credential: credential, Origin: gateway.URL}
	request, err := http.NewRequest(http.MethodGet, gateway.URL+"/events", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := transport.Sign(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signed.Header.Get("X-SSL-Auth") != "", signed.Header.Get("Signature") != "")

	elsewhere, err := http.NewRequest(http.MethodGet, "https://other.example/", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = transport.Sign(elsewhere)
	fmt.Println(errors.Is(err, client.ErrOrigin))
	// Output:
	// true true
	// true
}

// newExample starts a server in place of the gateway, and writes a certificate and
// its key to a new folder.
func newExample() (gateway *httptest.Server, files string) {
	gateway = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		covered, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Signature-Input"), "sig1="), ";")
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated)
		}
		fmt.Fprintln(w, "signed:", covered)
	}))
	files, err := newFiles()
	if err != nil {
		panic(err)
	}
	return gateway, files
}

func newFiles() (string, error) {
	ca, err := pki.New(pki.Options{Name: "CA", Algorithm: pki.P256, Lifetime: 24 * time.Hour, Now: time.Now()})
	if err != nil {
		return "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	cert, err := ca.Issue(pki.Request{Client: "mail", PublicKey: key.Public(), Lifetime: time.Hour, Now: time.Now()})
	if err != nil {
		return "", err
	}
	text, err := pki.EncodeKey(key)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "certgate-example-")
	if err != nil {
		return "", err
	}
	for name, text := range map[string][]byte{"mail.crt": pki.EncodeCertificate(cert), "mail.key": text} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}
