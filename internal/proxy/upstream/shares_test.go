package upstream_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/proxy/upstream"
)

// activeFor is how long a client counts as active after its last request.
const activeFor = 10 * time.Second

// fill reserves places for the client until it is refused, and returns them.
func (p *pool) fill(t *testing.T, client string) (all []*upstream.Reservation) {
	t.Helper()
	for p.CheckCapacity(client) == nil {
		all = append(all, p.reserveFor(t, client))
	}
	p.wantOverloadedFor(t, client)
	return all
}

func releaseAll(all []*upstream.Reservation) {
	for _, v := range all {
		v.Release()
	}
}

// TestShareOfClients: a client gets at most half of the places while another client sends
// requests, and never the last eighth.
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
				alone.reserveFor(t, "social")
			}
			both := newPool(1, tt.most)
			both.reserveFor(t, "social").Release() // its request is over
			if n := len(both.fill(t, mail)); n != tt.half {
				t.Errorf("a client beside another one has %d places, want %d", n, tt.half)
			}
			if tt.most > 1 {
				both.reserveFor(t, "social")
			}
		})
	}
}

// TestShareOverHalf: a client with more than half of the places keeps its requests when
// another client becomes active, and gets no further place until it holds less than half.
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
		other = append(other, p.reserveFor(t, "social"))
	}
	p.wantOverloadedFor(t, "social") // no place is free
	mine[6].Release()
	p.reserveFor(t, mail)
	p.wantOverloadedFor(t, mail)
	if len(other) != 8 {
		t.Errorf("the other client has %d places, want 8", len(other))
	}
}

// TestActivityEnds: after activeFor without a request, another client may use all places
// except the reserve. A refused request counts as activity.
func TestActivityEnds(t *testing.T) {
	p := newPool(1, 16)
	p.reserveFor(t, "social").Release()
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
	releaseAll(mine)
	if n := len(p.fill(t, mail)); n != 8 {
		t.Errorf("%d places behind a refused request of another client, want 8", n)
	}
}

// TestSharesOfManyClients: each new client finds a place while the clients before it hold at
// most half.
func TestSharesOfManyClients(t *testing.T) {
	p := newPool(1, 8)
	p.reserveFor(t, "social").Release()
	p.fill(t, mail)
	for i := range 4 {
		p.reserveFor(t, "client "+strconv.Itoa(i))
	}
	p.wantOverloadedFor(t, "social")
	if n, _ := p.Clients(); n != 5 {
		t.Errorf("%d clients hold a place, want 5", n)
	}
}

// TestStoredClients: the pool stores no more clients without a place than it has places.
func TestStoredClients(t *testing.T) {
	const places = 4
	p := newPool(1, places)
	for i := range 3 * places {
		p.reserveFor(t, "client "+strconv.Itoa(i)).Release()
	}
	all := p.fill(t, mail)
	if holding, stored := p.Clients(); holding != 1 || stored != places+1 {
		t.Errorf("%d clients hold a place and %d are stored, want 1 and %d", holding, stored, places+1)
	}
	releaseAll(all)
	if holding, stored := p.Clients(); holding != 0 || stored != places {
		t.Errorf("%d clients hold a place and %d are stored, want 0 and %d", holding, stored, places)
	}
}
