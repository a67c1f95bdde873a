package replay_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/replay"
	"github.com/certgate/certgate/internal/testkit/redisserver"
)

// TestQuotingServers checks that errors contain neither user nor password when the
// server repeats the AUTH command in its reply. Redis before version 7 and servers
// of other protocols repeat commands that they do not understand.
func TestQuotingServers(t *testing.T) {
	const user, secret = "certgate-user", "s3cret-word"
	tests := []struct {
		name   string
		answer func(c net.Conn, command string)
	}{
		{"an old redis", func(c net.Conn, command string) {
			_, _ = io.WriteString(c, "-ERR unknown command, with args beginning with: "+strings.ReplaceAll(command, "\r\n", " ")+"\r\n")
		}},
		{"an echo", func(c net.Conn, command string) { _, _ = io.WriteString(c, command) }},
		{"the password alone", func(c net.Conn, _ string) { _, _ = io.WriteString(c, secret+"\r\n") }},
		{"a redirection to the password", func(c net.Conn, _ string) { _, _ = io.WriteString(c, "-MOVED 1 "+secret+":1\r\n") }},
		{"no reply", func(c net.Conn, _ string) { _ = c.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			port := redisserver.Serve(t, redisserver.Listen(t), func(c net.Conn) {
				for command := make([]byte, 4096); ; {
					n, err := c.Read(command)
					if err != nil {
						return
					}
					tt.answer(c, string(command[:n]))
				}
			})
			r, reported := newRedis(t, replay.RedisOptions{Server: parseServer(t, "redis://"+user+":"+secret+"@127.0.0.1:"+port)})
			err := r.Use(fresh("mail", 1))
			wantReason(t, tt.name, err, refusal.Overloaded)
			wantSilent(t, err, user, secret)
			wantSilent(t, reported.want(t, replay.Gone), user, secret)
		})
	}
}

// TestPasswordInAnError checks that an error whose text contains the password is
// replaced by one that explains why the text is hidden. The password can equal a
// word of a dial error, such as "refused".
func TestPasswordInAnError(t *testing.T) {
	const secret = "refused"
	// Watch does not run: it could be the first to find that the server is gone.
	r := replay.NewRedisWithTimeout(replay.RedisOptions{
		Server: parseServer(t, "redis://:"+secret+"@127.0.0.1:1"), Report: func(replay.Event, error) {},
	}, testTimeout)
	err := r.Use(fresh("mail", 1))
	wantReason(t, "connection refused", err, refusal.Overloaded)
	wantSilent(t, err, secret)
	if err == nil || !strings.Contains(err.Error(), "not shown, because the password is in its text") {
		t.Errorf("want an error that explains why its text is hidden, found %v", err)
	}
}

// TestSentOnce checks that a nonce is sent to Redis once, even if the connection
// breaks before the reply. Redis may have stored the nonce already, so that a second
// SET would report a replay.
func TestSentOnce(t *testing.T) {
	n := fresh("mail", 1)
	sent := make(chan string, 100)
	port := redisserver.Serve(t, redisserver.Listen(t), func(c net.Conn) {
		for command := make([]byte, 4096); ; {
			read, err := c.Read(command)
			if err != nil {
				return
			}
			if text := string(command[:read]); strings.Contains(text, replay.Name(n)) {
				sent <- text
				return
			}
			_, _ = io.WriteString(c, ok) // so that the server does not count as gone
		}
	})
	r, reported := newRedis(t, replay.RedisOptions{Server: parseServer(t, "redis://127.0.0.1:"+port)})
	wantReason(t, "no reply", r.Use(n), refusal.Overloaded)
	reported.stop()
	if len(sent) != 1 {
		t.Errorf("want it sent once, found %d times", len(sent))
	}
}

// TestUntrustedTLS checks that rediss:// uses TLS and that no login is sent to a
// server whose certificate is not trusted.
func TestUntrustedTLS(t *testing.T) {
	certificate, _ := redisserver.SelfSigned(t)
	l := tls.NewListener(redisserver.Listen(t), &tls.Config{Certificates: []tls.Certificate{certificate}})
	heard := make(chan int, 100)
	port := redisserver.Serve(t, l, func(c net.Conn) {
		n, _ := c.Read(make([]byte, 4096))
		heard <- n
	})
	_, reported := newRedis(t, replay.RedisOptions{Server: parseServer(t, "rediss://:s3cret-word@127.0.0.1:"+port)})
	if err := reported.want(t, replay.Gone); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("want the certificate refused, found %v", err)
	}
	if n := <-heard; n != 0 {
		t.Errorf("want nothing sent, found %d bytes", n)
	}
}

// TestStopLeavesNothing checks that no goroutine is left after Watch has returned.
func TestStopLeavesNothing(t *testing.T) {
	s := startRedis(t)
	before := goleak.IgnoreCurrent()
	r, reported := newRedis(t, replay.RedisOptions{Server: s.at(t, "")})
	wantReason(t, "new", r.Use(fresh("mail", 1)), "")
	reported.stop()
	goleak.VerifyNone(t, before)
}
