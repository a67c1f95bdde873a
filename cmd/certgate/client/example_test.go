package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

// A program adds an event at the schedule service, which is behind a gateway.
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

// A program that runs for longer than its certificate is valid puts another in
// force, say when the files have changed.
func ExampleTransport_source() {
	gateway, files := newExample()
	defer gateway.Close()
	defer os.RemoveAll(files)

	var current atomic.Pointer[client.Credential]
	renew := func() error {
		credential, err := client.Load(filepath.Join(files, "mail.crt"), filepath.Join(files, "mail.key"))
		if err != nil {
			return err // the last good one stays
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

// newExample is what stands for a gateway here, and a folder with a certificate and
// its key.
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
