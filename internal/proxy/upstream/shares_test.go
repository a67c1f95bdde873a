package upstream_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/upstream"
)

// activeFor is how long a client counts as wanting places.
const activeFor = 10 * time.Second

// fill takes places for the client until it is refused, and returns them.
func (p *pool) fill(t *testing.T, client string) (all []*upstream.Reservation) {
	t.Helper()
	for p.CheckCapacity(client) == nil {
		all = append(all, p.beginFor(t, client))
	}
	p.wantOverloadedFor(t, client)
	return all
}

func endAll(all []*upstream.Reservation) {
	for _, v := range all {
		v.Release()
	}
}

// TestShareOfClients: a client gets at most half of the places while another one
// sends requests, and alone never the last eighth.
func TestShareOfClients(t *testing.T) {
	tests := []struct {
		most  int
		alone int // places for the only client
		half  int // while another one sends requests
	}{
		{1, 1, 1}, {2, 2, 1}, {3, 3, 2}, {4, 4, 2}, {7, 7, 4}, {8, 7, 4}, {16, 14, 8}, {1024, 896, 512},
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.most), func(t *testing.T) {
			alone := newPool(1, tt.most)
			if n := len(alone.fill(t, mail)); n != tt.alone {
				t.Errorf("the only client has %d places, want %d", n, tt.alone)
			}
			if free := tt.most - tt.alone; free > 0 {
				alone.beginFor(t, "social")
			}
			both := newPool(1, tt.most)
			both.beginFor(t, "social").Release() // its request is over
			if n := len(both.fill(t, mail)); n != tt.half {
				t.Errorf("a client beside another one has %d places, want %d", n, tt.half)
			}
			if tt.most > 1 {
				both.beginFor(t, "social")
			}
		})
	}
}

// TestShareOverHalf: a client that is over its half when another one comes keeps its
// requests, and gets no further place before it is below its half.
func TestShareOverHalf(t *testing.T) {
	p := newPool(1, 16)
	mine := p.fill(t, mail)
	other := p.fill(t, "social")
	if len(mine) != 14 || len(other) != 2 {
		t.Fatalf("%d and %d places, want 14 and 2", len(mine), len(other))
	}
	for i := range 6 { // down to 8
		mine[i].Release()
		p.wantOverloadedFor(t, mail)
		other = append(other, p.beginFor(t, "social"))
	}
	p.wantOverloadedFor(t, "social") // no place is free
	mine[6].Release()
	p.beginFor(t, mail)
	p.wantOverloadedFor(t, mail)
	if len(other) != 8 {
		t.Errorf("the other client has %d places, want 8", len(other))
	}
}

// TestWantingEnds: a client that has not asked for activeFor leaves the others all
// of the places except the reserve; one that is refused has asked.
func TestWantingEnds(t *testing.T) {
	p := newPool(1, 16)
	p.beginFor(t, "social").Release()
	p.now = p.now.Add(activeFor - 1)
	mine := p.fill(t, mail)
	if len(mine) != 8 {
		t.Fatalf("%d places within the time, want 8", len(mine))
	}
	p.now = p.now.Add(1)
	if mine = append(mine, p.fill(t, mail)...); len(mine) != 14 {
		t.Fatalf("%d places after the time, want 14", len(mine))
	}
	mine = append(mine, p.fill(t, "social")...)
	p.now = p.now.Add(activeFor)
	if p.CheckCapacity("social") == nil { // refused before its body is read
		t.Fatal("want no place free, found one")
	}
	p.now = p.now.Add(activeFor - 1)
	endAll(mine)
	if n := len(p.fill(t, mail)); n != 8 {
		t.Errorf("%d places behind a refused request of another client, want 8", n)
	}
}

// TestSharesOfMany: of many clients each finds a place where those before it are at
// their half or below.
func TestSharesOfMany(t *testing.T) {
	p := newPool(1, 8)
	p.beginFor(t, "social").Release()
	p.fill(t, mail)
	for i := range 4 {
		p.beginFor(t, "client "+strconv.Itoa(i))
	}
	p.wantOverloadedFor(t, "social")
	if n := p.Clients(); n != 5 {
		t.Errorf("%d clients are noted, want the 5 with a place", n)
	}
}
