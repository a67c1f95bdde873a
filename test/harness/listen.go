package harness

import (
	"encoding/json"
	"net"
	"testing"
	"time"
)

// Listening is the log line of a process that has opened its listeners.
type Listening struct {
	Msg       string `json:"msg"`
	Addr      string `json:"addr"`
	AdminAddr string `json:"admin_addr"`
	AuthzAddr string `json:"authz_addr"`
	GRPCAddr  string `json:"authz_grpc_addr"`
}

// WaitListening waits until the process listens.
func (p *Process) WaitListening(t *testing.T) Listening {
	t.Helper()
	var l Listening
	_, err := p.Stderr.WaitLine(func(line string) bool {
		l = Listening{}
		return json.Unmarshal([]byte(line), &l) == nil && l.Msg == "listening"
	})
	if err != nil {
		t.Fatalf("%s: want it to listen: %v", p.name, err)
	}
	return l
}

// ProxyAddress is the address on which proxies listen. No other part of the tests uses it,
// so that no other listener takes a port between its choice and its use.
const ProxyAddress = "127.0.0.3"

// FreeAddress returns an address on which no process listened when it was called.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ProxyAddress, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// WaitForListener dials until the process listens. The proxies do not announce it.
func (p *Process) WaitForListener(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(Timeout); time.Now().Before(deadline); {
		if c, err := net.DialTimeout("tcp", addr, Timeout); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-p.Exited:
			t.Fatalf("%s: want it to listen on %s, found it ended", p.name, addr)
		case <-time.After(PollInterval):
		}
	}
	t.Fatalf("%s: want it to listen on %s in time", p.name, addr)
}
