package usage

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/testkit/redisserver"
)

// TestClientValue checks that a client is read as it was written.
func TestClientValue(t *testing.T) {
	t.Parallel()
	want := Client{
		Name: "mail", LastSeen: noon, Bearer: noon.Add(-time.Second), MTLS: noon.Add(-time.Hour), Allowed: 12, Refused: 3,
		LastRefusal: noon.Add(-time.Minute), LastReason: refusal.AccessDenied,
		Certificates: []Certificate{
			{Serial: "4f3a09", KeyID: "0123456789abcdef", NotAfter: noon.AddDate(1, 0, 0), LastUse: noon, SharedKey: true},
			{Serial: "0", KeyID: "ff", NotAfter: noon.AddDate(-1, 0, 0), LastUse: noon.Add(-time.Hour)},
		},
	}
	found, err := decodeClient("mail", encodeClient(&want), noon)
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Errorf("%v (-want +found):\n%s", err, diff)
	}
	if _, err := decodeClient("-mail", encodeClient(&want), noon); err == nil {
		t.Error("want an error for an invalid name, found none")
	}
	if _, err := decodeClient("mail", encodeClient(&want), noon.Add(-2*time.Hour)); err == nil {
		t.Error("want an error for times in the future, found none")
	}
}

// FuzzClientValue checks that a value is read only if this package writes it.
func FuzzClientValue(f *testing.F) {
	f.Add("1 1795953600000 0 0 0 1 1 0 -")
	f.Add("1 1795953600000 1 2 3 18446744073709551615 1 4 access_denied 4f3a09 0a 1 2 true")
	f.Add("1 1795953600000 0 0 0 01 1 0 -")
	f.Fuzz(func(t *testing.T, value string) {
		c, err := decodeClient("mail", value, noon)
		if err != nil {
			return
		}
		if again := encodeClient(&c); again != value || len(c.Certificates) > MaxCertificates {
			t.Errorf("want the value %q, found %q", again, value)
		}
	})
}

// FuzzReply checks that no reply makes the reader panic or return an entry without a
// version that fits.
func FuzzReply(f *testing.F) {
	f.Add("1:1,1:e,1:0,1:1,1:0,1:1,4:mail,1:5,3:1 2,1:1,")
	f.Add("0:,1:e,1:0,1:1,1:0,1:1,1:1,")
	f.Add("9999999999:x,")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseReply(text)
		if err == nil && (r.epoch == "" || r.version > 1<<63 || len(r.conflicts)+len(r.changed) > len(text)/3) {
			t.Errorf("want a reply with an epoch, found %+v", r)
		}
	})
}

// TestEndlessReplies checks that a reply without progress ends the exchange with an error,
// although it is a reply of the script.
func TestEndlessReplies(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]reply{
		"no entry and no end":          {epoch: "e"},
		"version that was read before": {epoch: "e", version: 7, changed: []replyEntry{{"mail", 7, ""}}},
	} {
		a := newReplica(t, "redis://127.0.0.1:1", 10)
		a.sharing.epoch, a.sharing.clients.cursor = "e", min(r.version, 7)
		if _, err := apply(a.sharing, &a.sharing.clients, nil, r); !errors.Is(err, errReply) {
			t.Errorf("%s: want %v, found %v", name, errReply, err)
		}
	}
}

// TestForeignReplies checks that replies that are not those of the script are errors and
// change nothing.
func TestForeignReplies(t *testing.T) {
	t.Parallel()
	bulk := func(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }
	tests := []struct{ name, reply, want string }{
		{"status", "+OK\r\n", "found a status that is not OK"},
		{"nil", "$-1\r\n", "found nil"},
		{"array", "*1\r\n+OK\r\n", "found another type of reply"},
		{"empty", bulk(""), "found another"},
		{"text", bulk("hello"), "found another text of 5 bytes"},
		{"long text", bulk("5:hell,"), "found another text of 7 bytes"},
		{"too few texts", bulk("0:,1:e,"), "found another"},
		{"no epoch", bulk("0:,0:,1:0,1:1,1:0,1:1,1:1,"), "found another"},
		{"garbage in the state", bulk("0:,1:e,1:x,1:1,1:0,1:1,1:1,"), "found another"},
		{"more results than writes", bulk("2:11,1:e,1:0,1:1,1:0,1:1,1:1,"), "found another"},
		{"version that is not a number", bulk("0:,1:e,1:0,1:1,1:0,1:1,4:mail,3:inf,0:,1:1,"), "found another"},
		{"huge", "$9223372036854775807\r\n", "found another length"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			port := redisserver.Serve(t, redisserver.Listen(t), func(c net.Conn) {
				for r := bufio.NewReader(c); ; {
					if _, err := redisserver.ReadCommand(r); err != nil {
						return
					}
					_, _ = io.WriteString(c, tt.reply)
				}
			})
			a := newReplica(t, "redis://127.0.0.1:"+port, 10)
			a.Observe(of(allowed("mail", time.Second)))
			a.sharing.try(t.Context(), waiting)
			snap := a.Snapshot()
			if !strings.Contains(snap.SyncError, tt.want) || len(snap.Clients) != 1 || snap.Clients[0].Allowed != 1 {
				t.Errorf("want an error with %q and the client, found %q and %+v", tt.want, snap.SyncError, snap.Clients)
			}
		})
	}
}
