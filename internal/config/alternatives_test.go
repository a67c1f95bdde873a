package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/certgate/certgate/internal/config"
)

// TestVariableOrFile tests the faults of a variable and its _FILE variable.
func TestVariableOrFile(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	const key, file = "AUTH_PUBLIC_KEY", "AUTH_PUBLIC_KEY_FILE"
	good := required(t)[key]
	tests := []struct {
		name string
		set  map[string]string // instead of AUTH_PUBLIC_KEY
		want config.Fault
	}{
		{"neither", nil, config.Fault{Variable: key, Problem: "found nothing" + wantKey}},
		{"similar variable name", map[string]string{"AUTH_PUBLICKEY": good}, config.Fault{Variable: key, Problem: `found only "AUTH_PUBLICKEY"` + wantKey}},
		{"similar _FILE variable name", map[string]string{"AUTH_PUBKIC_KEY_FILE": good}, config.Fault{Variable: key, Problem: `found only "AUTH_PUBKIC_KEY_FILE"` + wantKey}},
		{"both", map[string]string{key: good, file: empty}, config.Fault{Variable: key, Problem: "found AUTH_PUBLIC_KEY_FILE as well, want only one of the two"}},
		{"empty name", map[string]string{file: ""}, config.Fault{Variable: file, Problem: "found an empty value" + wantFile}},
		{"no such file", map[string]string{file: "/nowhere/key"}, config.Fault{Variable: file, Problem: `found "/nowhere/key": no such file or directory` + wantFile}},
		{"a folder", map[string]string{file: "/"}, config.Fault{Variable: file, Problem: `found "/": is a directory` + wantFile}},
		{"a named pipe", map[string]string{file: pipe}, config.Fault{Variable: file, Problem: `found ` + quoted(pipe) + `: named pipe, not a regular file` + wantFile}},
		{"a device", map[string]string{file: "/dev/zero"}, config.Fault{Variable: file, Problem: `found "/dev/zero": device, not a regular file` + wantFile}},
		{"too large", map[string]string{file: big}, config.Fault{Variable: file, Problem: `found ` + quoted(big) + `: more than 1048576 bytes` + wantFile}},
		{"the key instead of a name", map[string]string{file: good}, config.Fault{Variable: file, Problem: "found " + quoted(good) + ": no such file or directory" + wantFile}},
		{"empty file", map[string]string{file: empty}, config.Fault{Variable: file, Problem: "want 1 to 8 PEM blocks, found nothing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := required(t)
			delete(environ, key)
			maps.Copy(environ, tt.set)
			wantFaults(t, environ, tt.want)
		})
	}
}

// TestFormerName checks that different values under two names of one setting are a fault.
func TestFormerName(t *testing.T) {
	environ := required(t)
	environ["FAST_LANE"], environ["HTTP_FAST_PATH"] = "true", "false"
	want := config.Fault{Variable: "HTTP_FAST_PATH", Problem: `found "false", and "true" in FAST_LANE, want HTTP_FAST_PATH only`}
	wantFaults(t, environ, want)
}

// TestAuthzFaults checks that listeners for other proxies require a list of peers and an
// address of their own.
func TestAuthzFaults(t *testing.T) {
	const peers, here = "AUTHZ_PEERS", "127.0.0.1"
	tests := []struct {
		name string
		set  map[string]string
		want []config.Fault
	}{
		{"peers", map[string]string{"AUTHZ_ADDR": ":9191", peers: here}, nil},
		{"no peers", map[string]string{"AUTHZ_ADDR": ":9191"}, []config.Fault{{Variable: peers, Problem: "found nothing" + wantProxies}}},
		{"no peers of Envoy", map[string]string{"AUTHZ_GRPC_ADDR": ":9192"}, []config.Fault{{Variable: peers, Problem: "found nothing" + wantProxies}}},
		{"Envoy's port", map[string]string{"AUTHZ_ADDR": ":9191", "AUTHZ_GRPC_ADDR": "127.0.0.1:9191", peers: here},
			[]config.Fault{{Variable: "AUTHZ_GRPC_ADDR", Problem: `found "127.0.0.1:9191", want another port than AUTHZ_ADDR ":9191"`}}},
		{"no peers on loopback", map[string]string{"AUTHZ_ADDR": "127.0.0.1:9191"}, []config.Fault{{Variable: peers, Problem: "found nothing" + wantProxies}}},
		{"the public port", map[string]string{"AUTHZ_ADDR": "127.0.0.1:8080", peers: here},
			[]config.Fault{{Variable: "AUTHZ_ADDR", Problem: `found "127.0.0.1:8080", want another port than LISTEN_ADDR ":8080"`}}},
		{"the admin port", map[string]string{"AUTHZ_ADDR": ":9090", peers: here},
			[]config.Fault{{Variable: "AUTHZ_ADDR", Problem: `found ":9090", want another port than ADMIN_ADDR "127.0.0.1:9090"`}}},
		{"no admin port", map[string]string{"AUTHZ_ADDR": ":9090", "ADMIN_ADDR": "", peers: here}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			environ := required(t)
			maps.Copy(environ, tt.set)
			wantFaults(t, environ, tt.want...)
		})
	}
}
