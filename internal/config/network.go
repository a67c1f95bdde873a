package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// address is host:port to listen on. The host may be empty, an IP address or a
// name; the port is a number.
type address string

func (a *address) UnmarshalText(text []byte) error {
	s := string(text)
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isHost(host) {
		return errors.New(quote(s))
	}
	if port == "" {
		return fmt.Errorf("no port in %s", quote(s))
	}
	if _, err := portNumber(port); err != nil {
		return fmt.Errorf("port %s in %s", quote(port), quote(s))
	}
	*a = address(s)
	return nil
}

func portNumber(s string) (uint64, error) {
	if strings.HasPrefix(s, "+") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, 10, 16)
}

// isHost is generous: the system has the last word when it binds.
func isHost(s string) bool {
	return s == "" || httpguts.ValidHostHeader(s) && !strings.ContainsAny(s, `/?#@'"`)
}

// split is the host and the port, the host empty when it is every address.
func (a address) split() (host, port string) {
	host, port, _ = net.SplitHostPort(string(a)) // UnmarshalText has taken it
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = ""
	}
	return host, port
}

// clashes says whether both cannot be bound at once.
func (a address) clashes(b address) bool {
	hostA, portA := a.split()
	hostB, portB := b.split()
	if portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || hostA == "" || hostB == ""
}

func (a address) isLoopback() bool {
	host, _ := a.split()
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// maxHostNames is how many names the operator's listener has at most.
const maxHostNames = 16

// hostNames are host names in lower case, without port.
type hostNames struct{ list []string }

func (h *hostNames) UnmarshalText(text []byte) error {
	var list []string
	for item := range strings.SplitSeq(string(text), ",") {
		name := strings.ToLower(strings.TrimSpace(item))
		parts := authorityForm.FindStringSubmatch(name)
		switch {
		case parts == nil, parts[1] != name:
			return errors.New(quote(item))
		case slices.Contains(list, name):
			return fmt.Errorf("%s twice", quote(name))
		case len(list) == maxHostNames:
			return fmt.Errorf("more than %d names", maxHostNames)
		}
		list = append(list, name)
	}
	h.list = list
	return nil
}

// upstreams are the addresses of one service, each a scheme, host and port. Their
// paths are empty.
type upstreams struct {
	list []*url.URL
}

func (u *upstreams) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Contains(s, "@") { // before anything can quote a password
		return errors.New("a URL with user information")
	}
	var list []*url.URL
	seen := map[string]bool{}
	for item := range strings.SplitSeq(s, ",") {
		parsed, err := parseUpstream(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		name := strings.ToLower(upstream.Name(parsed))
		switch {
		case seen[name]:
			return fmt.Errorf("%s twice", quote(name))
		case len(list) == upstream.MaxAddresses:
			return fmt.Errorf("more than %d addresses", upstream.MaxAddresses)
		case len(list) > 0 && list[0].Scheme != parsed.Scheme:
			return errors.New("both http:// and https://")
		}
		seen[name] = true
		list = append(list, parsed)
	}
	u.list = list
	return nil
}

func parseUpstream(s string) (*url.URL, error) {
	parsed, err := url.Parse(s)
	switch {
	case s == "":
		return nil, errors.New(quote(s))
	case err != nil:
		return nil, fmt.Errorf("%s, which is no URL", quote(s))
	}
	if problem := upstreamProblem(parsed, s); problem != "" {
		return nil, fmt.Errorf("%s in %s", problem, quote(s))
	}
	return &url.URL{Scheme: parsed.Scheme, Host: parsed.Host}, nil
}

func upstreamProblem(u *url.URL, text string) string {
	port := u.Port()
	number, err := portNumber(port)
	switch {
	case u.Scheme == "":
		return "no scheme"
	case u.Scheme != "http" && u.Scheme != "https":
		return "scheme " + quote(u.Scheme)
	case u.Hostname() == "" || !isHost(u.Hostname()):
		return "no host"
	case strings.HasSuffix(u.Host, ":"):
		return "no port after the colon"
	case port != "" && (err != nil || number == 0):
		return "port " + quote(port)
	case strings.ContainsAny(text, "?#"):
		return "a query or a fragment"
	case u.Path != "" && u.Path != "/":
		return "a path"
	default:
		return ""
	}
}

// healthPath is a path that starts with one slash, perhaps with a query.
type healthPath string

func (h *healthPath) UnmarshalText(text []byte) error {
	s := string(text)
	parsed, err := url.ParseRequestURI(s)
	if err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || parsed.RequestURI() != s || strings.Contains(s, "#") {
		return errors.New(quote(s))
	}
	*h = healthPath(s)
	return nil
}

// echoPath is a path that names one thing to everybody, and not everything.
type echoPath string

var echoPathForm = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

func (p *echoPath) UnmarshalText(text []byte) error {
	s := string(text)
	if !echoPathForm.MatchString(s) || len(s) > 200 {
		return errors.New(quote(s))
	}
	if _, err := access.ParseTarget(s); err != nil {
		return errors.New(quote(s))
	}
	if s == "/healthz" {
		return fmt.Errorf("%s, which has a meaning of its own", quote(s))
	}
	*p = echoPath(s)
	return nil
}
