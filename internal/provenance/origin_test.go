package provenance

import "testing"

func TestTextOfPeer(t *testing.T) {
	for _, remote := range []string{"192.0.2.7:1234", "[::ffff:192.0.2.7]:1", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "192.0.2.07:1", "@", "", ":80", "name:80"} {
		peer := peerAddr(remote)
		if have, want := textOf(peer, remote), peer.String(); have != want {
			t.Errorf("%q: %q, want %q", remote, have, want)
		}
	}
}
