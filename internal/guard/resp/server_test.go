package resp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/guard/resp"
)

func TestParseServer(t *testing.T) {
	tests := []struct{ text, want string }{
		{"redis://redis", "redis://redis:6379/0"},
		{"redis://redis/", "redis://redis:6379/0"},
		{"redis://10.0.0.1:6380/3", "redis://10.0.0.1:6380/3"},
		{"redis://[::1]:6380", "redis://[::1]:6380/0"},
		{"rediss://redis.example.com", "rediss://redis.example.com:6379/0"},
		{"redis://:s3cret@redis", "redis://redis:6379/0"},
		{"redis://certgate:s3cret@redis/15", "redis://redis:6379/15"},
		{"redis://certgate:%40%2F%3F%23@redis", "redis://redis:6379/0"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			s, err := resp.ParseServer(tt.text)
			if err != nil || s.IsZero() || s.String() != tt.want {
				t.Errorf("want %s, found %s, error %v", tt.want, s, err)
			}
		})
	}
}

func TestParseServerRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "another scheme"},
		{"redis", "another scheme"},
		{"redis:6379", "no host"},
		{"http://redis", "another scheme"},
		{"unix:///run/redis.sock", "another scheme"},
		{"redis:// redis", "no URL"},
		{"redis://", "no host"},
		{"redis://:6379", "no host"},
		{"http://?", "another scheme"},
		{"redis://redis:", "a port that is not a number"},
		{"redis://redis:0", "a port that is not a number"},
		{"redis://redis:65536", "a port that is not a number"},
		{"redis://redis/one", "a path that is not the number of a database"},
		{"redis://redis/+1", "a path that is not the number of a database"},
		{"redis://redis/-1", "a path that is not the number of a database"},
		{"redis://redis/1/2", "a path that is not the number of a database"},
		{"redis://redis?db=1", "a query or a fragment"},
		{"rediss://redis?skip_verify=true", "a query or a fragment"},
		{"redis://redis?", "a query or a fragment"},
		{"redis://redis#1", "a query or a fragment"},
		{"redis://certgate@redis", "a user without a password"},
		{"redis://:@redis", "a user without a password"},
		{"redis://:s3cret#tail@redis", "no URL"},
		{"redis://:s3cret/tail@redis", "no URL"},
		{"redis://:s3cret%zz@redis", "no URL"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			s, err := resp.ParseServer(tt.text)
			if !s.IsZero() || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("want %q, found %s, error %v", tt.want, s, err)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("want one line and no password, found %v", err)
			}
		})
	}
}

// TestServerHidesPassword checks that no way of printing a Server, or a value that
// contains one, shows the user or the password.
func TestServerHidesPassword(t *testing.T) {
	s, err := resp.ParseServer("redis://operator:s3cret@redis:6380/1")
	if err != nil {
		t.Fatal(err)
	}
	inside := struct {
		Server resp.Server
		hidden resp.Server
	}{s, s}
	text, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(text), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", inside, inside, inside), fmt.Sprintf("%+v", &inside),
	} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, "operator") || strings.Contains(text, fmt.Sprintf("%x", "s3cret")) {
			t.Errorf("want neither user nor password, found %s", text)
		}
	}
	if want := `"Server":"redis://redis:6380/1"`; !strings.Contains(string(text), want) {
		t.Errorf("want %s, found %s", want, text)
	}
}
