package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestUpload: the answer tells how much of the body arrived.
func TestUpload(t *testing.T) {
	server := httptest.NewServer(newUpload())
	defer server.Close()
	for _, test := range []struct {
		name string
		body io.Reader
		want string
	}{
		{"no body", nil, "0\n"},
		{"length", strings.NewReader(strings.Repeat("x", 1<<20)), "1048576\n"},
		{"chunked", io.MultiReader(strings.NewReader(strings.Repeat("x", 70000))), "70000\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, err := http.Post(server.URL, "application/json", test.body)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			found, err := io.ReadAll(response.Body)
			if err != nil || string(found) != test.want {
				t.Errorf("want %q, found %q and %v", test.want, found, err)
			}
		})
	}
}
