package harness

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
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

// ProxyAddress is the IP address on which proxies listen. No other listener of any test
// uses it, including tests of packages that run at the same time, so that no other process
// can take a port between its choice and its use.
var ProxyAddress = processAddress(3)

// processAddress returns a loopback address of this test process. Other systems than Linux
// have one loopback address only.
func processAddress(last byte) string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>8&0x7f, pid&0xff, last)
}

// given holds the addresses that FreeAddress has returned.
var given sync.Map

// FreeAddress returns an address on which no process listens, and never the same address
// again.
func FreeAddress(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", net.JoinHostPort(ProxyAddress, "0"))
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		_ = l.Close()
		if _, isGiven := given.LoadOrStore(addr, true); !isGiven {
			return addr
		}
	}
}

// WaitForListener dials until the process listens. It is for proxies, which do not log that
// they listen.
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
