package replay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/guard/replay"
	"github.com/certgate/certgate/internal/guard/resp"
	"github.com/certgate/certgate/internal/testkit/redisserver"
)

// scripted starts a server that replies to each command with the result of answer.
// An empty result closes the connection.
func scripted(t *testing.T, answer func(command []string) string) resp.Server {
	t.Helper()
	port := redisserver.Serve(t, redisserver.Listen(t), func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			command, err := redisserver.ReadCommand(r)
			if err != nil {
				return
			}
			text := answer(command)
			if text == "" {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	})
	return parseServer(t, "redis://127.0.0.1:"+port)
}

// answering returns a function for scripted that replies to SET with set, to INFO with
// info and to every other command with an error.
func answering(set, info string) func([]string) string {
	return func(command []string) string {
		switch strings.ToUpper(command[0]) {
		case "SET":
			return set
		case "INFO":
			return info
		default:
			return "-ERR unknown command\r\n"
		}
	}
}

const (
	ok          = "+OK\r\n"
	null        = "$-1\r\n"
	keepsAll    = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
	deepReplies = 1 << 20
	halfAnOK    = "half an OK" // the name of a case
)

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// TestReplies checks that a nonce counts as new if the reply is the status OK, and as
// used if the reply is nil. Any other reply counts as a failure of the server.
func TestReplies(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test waits for a timeout")
	}
	tests := []struct {
		name, reply string
		want        refusal.Reason
	}{
		{"status OK", ok, ""},
		{"nil", null, refusal.ProofReplayed},
		{"status QUEUED", "+QUEUED\r\n", refusal.Overloaded},
		{"status in lower case", "+ok\r\n", refusal.Overloaded},
		{"status that begins with OK", "+OK 1\r\n", refusal.Overloaded},
		{"status with a space", "+OK \r\n", refusal.Overloaded},
		{"empty status", "+\r\n", refusal.Overloaded},
		{"long status", "+" + strings.Repeat("O", 1<<20) + "\r\n", refusal.Overloaded},
		{"integer 1", ":1\r\n", refusal.Overloaded},
		{"integer 0", ":0\r\n", refusal.Overloaded},
		{"bulk OK", "$2\r\nOK\r\n", refusal.Overloaded},
		{"empty bulk", "$0\r\n\r\n", refusal.Overloaded},
		{"another length below zero", "$-2\r\n", refusal.Overloaded},
		{"nil with a leading zero", "$-01\r\n", refusal.Overloaded},
		{"largest bulk", "$9223372036854775807\r\n", refusal.Overloaded},
		{"bulk of 2 GiB", "$2147483647\r\n", refusal.Overloaded},
		{"empty array", "*0\r\n", refusal.Overloaded},
		{"nil array", "*-1\r\n", refusal.Overloaded},
		{"array with OK", "*1\r\n+OK\r\n", refusal.Overloaded},
		{"largest array", "*9223372036854775807\r\n", refusal.Overloaded},
		{"deep array", strings.Repeat("*1\r\n", deepReplies), refusal.Overloaded},
		{"error", "-ERR no\r\n", refusal.Overloaded},
		{"error OK", "-OK\r\n", refusal.Overloaded},
		{"RESP3 nil", "_\r\n", refusal.Overloaded},
		{"RESP3 true", "#t\r\n", refusal.Overloaded},
		{"RESP3 number", ",1\r\n", refusal.Overloaded},
		{"RESP3 big number", "(1\r\n", refusal.Overloaded},
		{"RESP3 verbatim OK", "=6\r\ntxt:OK\r\n", refusal.Overloaded},
		{"RESP3 error", "!2\r\nOK\r\n", refusal.Overloaded},
		{"RESP3 map", "%1\r\n+OK\r\n+OK\r\n", refusal.Overloaded},
		{"RESP3 set", "~1\r\n+OK\r\n", refusal.Overloaded},
		{"RESP3 push before OK", ">1\r\n+message\r\n+OK\r\n", refusal.Overloaded},
		{"RESP3 attribute before OK", "|1\r\n+ttl\r\n:1\r\n+OK\r\n", refusal.Overloaded},
		{"RESP3 deep attribute", strings.Repeat("|1\r\n", deepReplies), refusal.Overloaded},
		{"line that ends with LF", "+OK\n", refusal.Overloaded},
		{"empty line", "\r\n", refusal.Overloaded},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", refusal.Overloaded},
		{"zeros", strings.Repeat("\x00", 4096), refusal.Overloaded},
		{halfAnOK, "+OK", refusal.Overloaded},
		{"no reply", "", refusal.Overloaded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			open := newRedis
			if tt.name == halfAnOK {
				open = newQuickRedis // the failure is the timeout while waiting for the rest
			}
			r, reported := open(t, replay.RedisOptions{Server: scripted(t, answering(tt.reply, bulk(keepsAll)))})
			for number := range 3 {
				wantReason(t, tt.name, r.Use(fresh("mail", number)), tt.want)
			}
			if tt.want == refusal.Overloaded {
				if err := reported.want(t, replay.Gone); err == nil {
					t.Error("want the cause why redis is gone, found nothing")
				}
			}
		})
	}
}

// TestRefusedLogin checks that the reply to AUTH and SELECT must be OK as well. Without
// SELECT the gateway could use the database of another service.
func TestRefusedLogin(t *testing.T) {
	for _, refused := range []string{"AUTH", "SELECT"} {
		for _, reply := range []string{"+QUEUED\r\n", null, ":1\r\n", "-ERR no\r\n", bulk("OK")} {
			t.Run(refused+" "+strconv.Quote(reply), func(t *testing.T) {
				server := scripted(t, func(command []string) string {
					if strings.EqualFold(command[0], refused) {
						return reply
					}
					return ok
				})
				r, reported := newRedis(t, replay.RedisOptions{Server: parseServer(t, "redis://certgate:s3cret-word@"+server.Addr()+"/1")})
				wantSilent(t, reported.want(t, replay.Gone), "s3cret-word")
				wantReason(t, "not logged in", r.Use(fresh("mail", 1)), refusal.Overloaded)
			})
		}
	}
}

// TestInfoReplies checks that the reply to INFO takes limited memory, and that every
// reply except the policy noeviction or no memory limit is reported as MayEvict.
func TestInfoReplies(t *testing.T) {
	tests := []struct{ name, reply string }{
		{"status", "+" + strings.ReplaceAll(keepsAll, "\r\n", " ") + "\r\n"},
		{"empty", bulk("")},
		{"of another section", bulk("# Server\r\nredis_version:7.0.15\r\n")},
		{"error", "-ERR no\r\n"},
		{"nil", null},
		{"integer", ":0\r\n"},
		{"largest bulk", "$9223372036854775807\r\n"},
		{"largest bulk with a CRLF", "$9223372036854775805\r\n"},
		{"bulk of 2 GiB", "$2147483647\r\n"},
		{"bulk of 64 KiB and one byte", bulk(keepsAll + strings.Repeat("x", 64<<10+1-len(keepsAll)))},
		{"length with a leading zero", "$0" + bulk(keepsAll)[1:]},
		{"bulk that ends with other bytes", strings.TrimSuffix(bulk(keepsAll), "\r\n") + "\n\r"},
		{"largest array", "*9223372036854775807\r\n"},
		{"deep array", strings.Repeat("*1\r\n", deepReplies)},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, reported := newRedis(t, replay.RedisOptions{Server: scripted(t, answering(ok, tt.reply))})
			if err := reported.want(t, replay.MayEvict); err == nil {
				t.Error("want the cause, found nothing")
			}
			runtime.ReadMemStats(&after)
			const most = 16 << 20 // the fake server included
			if grown := after.TotalAlloc - before.TotalAlloc; grown > most {
				t.Errorf("want at most %d bytes allocated, found %d", most, grown)
			}
			wantReason(t, "a server without INFO", r.Use(fresh("mail", 1)), "")
		})
	}
}

// TestLargeInfo checks that a reply to INFO of the largest length is read completely.
func TestLargeInfo(t *testing.T) {
	const evicts = "maxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\n"
	info := strings.Repeat("x", 64<<10-len(evicts)-2) + "\r\n" + evicts
	_, reported := newRedis(t, replay.RedisOptions{Server: scripted(t, answering(ok, bulk(info)))})
	if err := reported.want(t, replay.MayEvict); !strings.Contains(err.Error(), `found "allkeys-lru" with maxmemory "1"`) {
		t.Errorf("want the policy, found %v", err)
	}
}
