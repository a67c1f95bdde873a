package usage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
)

// TestRefusalFlood checks that a flood of one source displaces neither the refusals of
// other sources nor those of clients, and that displaced refusals are counted.
func TestRefusalFlood(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	from := func(source string) *audit.Record {
		return with(refused("", refusal.CertificateUntrusted, 0), func(r *audit.Record) { r.Source = source })
	}
	s.Observe(refused("mail", refusal.AccessDenied, 0))
	for i := range 10 {
		s.Observe(from("192.0.2." + strconv.Itoa(i)))
	}
	for range 5 * MaxRefusals {
		s.Observe(from("203.0.113.1"))
	}
	for i := range 10 {
		s.Observe(from("198.51.100." + strconv.Itoa(i)))
	}
	for range 5 * MaxRefusals {
		s.Observe(from("203.0.113.1"))
	}
	snap := s.Snapshot()
	count := map[string]int{}
	for _, r := range snap.Refusals {
		count[r.Client+" "+r.Source[:strings.LastIndex(r.Source, ".")]]++
	}
	if count["mail 192.0.2"] != 1 || count[" 192.0.2"] != 10 || count[" 198.51.100"] != 10 {
		t.Errorf("want the refusals of 20 other sources and of the client, found %v", count)
	}
	if total := uint64(1 + 20 + 10*MaxRefusals); snap.RefusalsDropped != total-uint64(len(snap.Refusals)) {
		t.Errorf("want %d dropped refusals, found %d", total-uint64(len(snap.Refusals)), snap.RefusalsDropped)
	}
}

// TestDistributedRefusalFlood checks that unverified requests of many sources displace no
// refusal of a client.
func TestDistributedRefusalFlood(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	s.Observe(refused("mail", refusal.AccessDenied, 0))
	for i := range 3 * MaxRefusals {
		s.Observe(with(refused("", refusal.CertificateUntrusted, 0), func(r *audit.Record) { r.Source = fmt.Sprintf("10.0.%d.%d", i/256, i%256) }))
	}
	if list := s.Snapshot().Refusals; !slices.ContainsFunc(list, func(r Refusal) bool { return r.Client == "mail" }) {
		t.Errorf("want the refusal of mail, found %d others", len(list))
	}
}

// TestRefusalFloodOfANetwork checks that the addresses of one IPv6 network are one sender.
func TestRefusalFloodOfANetwork(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	from := func(source string) {
		s.Observe(with(refused("", refusal.CertificateUntrusted, 0), func(r *audit.Record) { r.Source = source }))
	}
	from("2001:db8:0:1::1")
	for i := range 2 * MaxRefusals {
		from(fmt.Sprintf("2001:db8:0:2::%x", i))
	}
	list := s.Snapshot().Refusals
	if !slices.ContainsFunc(list, func(r Refusal) bool { return r.Source == "2001:db8:0:1::1" }) {
		t.Errorf("want the refusal of another network to stay, found %d refusals of the flood only", len(list))
	}
}

// TestRefusalOrder checks that a full list of many senders drops the oldest refusal.
func TestRefusalOrder(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(MaxClients)
	for i := range MaxRefusals + 1 {
		s.Observe(refused(strconv.Itoa(i), refusal.AccessDenied, time.Duration(i)*time.Second))
	}
	snap := s.Snapshot()
	if first, last := snap.Refusals[0].Client, snap.Refusals[MaxRefusals-1].Client; len(snap.Refusals) != MaxRefusals || first != strconv.Itoa(MaxRefusals) || last != "1" {
		t.Errorf("want the refusals %d to 1, found %d from %s to %s", MaxRefusals, len(snap.Refusals), first, last)
	}
}

// TestRefusalTexts checks that untrusted texts are printable and have a limited length.
func TestRefusalTexts(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(10)
	s.Observe(with(refused("", refusal.PathAmbiguous, 0), func(r *audit.Record) {
		r.Path, r.Method, r.Detail = "/<b>\x1b[31m"+strings.Repeat("a", 1000), "G\nET", strings.Repeat("é", 1000)
		r.RequestID, r.Source = strings.Repeat("i", 1000), strings.Repeat("s", 1000)
	}))
	r := s.Snapshot().Refusals[0]
	if !strings.HasPrefix(r.Path, `/<b>\x1b[31maaa`) || r.Method != `G\x0aET` || !strings.HasPrefix(r.Detail, `\xc3\xa9`) {
		t.Errorf("want printable ASCII, found %+v", r)
	}
	for name, text := range map[string]string{"path": r.Path, "detail": r.Detail, "request id": r.RequestID, "source": r.Source} {
		if len(text) > 512 || !strings.HasSuffix(text, "…") {
			t.Errorf("%s: want a truncated text, found %d bytes", name, len(text))
		}
	}
}
