package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode) // as main does
	os.Exit(m.Run())
}

func TestArguments(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		code int
		want string // on stderr
	}{
		{"help", []string{"-help"}, exitOK, "Usage: demo [-once]"},
		{"unknown flag", []string{"-twice"}, exitUsage, "-twice"},
		{"argument", []string{"now"}, exitUsage, `want no arguments, found ["now"]`},
		{"no port", []string{"-listen", "127.0.0.1"}, exitUsage, `-listen: want host:port, such as 127.0.0.1:8080, found "127.0.0.1"`},
		{"no such port", []string{"-listen", ":65536"}, exitUsage, `found ":65536"`},
		{"a port's name", []string{"-listen", ":http"}, exitUsage, `found ":http"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.args, &stdout, &stderr)
			if code != test.code || stdout.Len() > 0 || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("want exit code %d and %q, found %d, %q and on stdout %q", test.code, test.want, code, stderr.String(), stdout.String())
			}
		})
	}
}

// closedPipe is a standard output without a reader, as in demo | head after head has ended.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.New("the pipe has no reader") }

// TestRemovesFolder checks that the folder with credentials is removed, however the demo
// ends.
func TestRemovesFolder(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context // ends the demo
		args []string
		code int
	}{
		{"no reader, once", t.Context(), []string{"-once"}, exitOK},
		{"no reader, without -once", t.Context(), nil, exitUnexpected},
		{"interrupted", over, nil, exitUnexpected},
		{"an address of another machine", t.Context(), []string{"-listen", "192.0.2.1:1"}, exitUnexpected},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			var stderr bytes.Buffer
			if code := run(test.ctx, test.args, closedPipe{}, &stderr); code != test.code {
				t.Errorf("want exit code %d, found %d and %q", test.code, code, stderr.String())
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("want an empty folder, found %v and %v", left, err)
			}
		})
	}
}
