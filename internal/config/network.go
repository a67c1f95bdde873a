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
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/proxy/upstream"
)

// address is the host:port of a listener. The host may be empty, an IP address or a
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

// isHost reports whether s may be a host. It accepts some invalid names, which the
// kernel or the resolver refuses later.
func isHost(s string) bool {
	return s == "" || httpguts.ValidHostHeader(s) && !strings.ContainsAny(s, `/?#@'"`)
}

// split returns the host and the port. The host is empty for an unspecified address.
func (a address) split() (host, port string) {
	host, port, _ = net.SplitHostPort(string(a)) // UnmarshalText has validated it
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = ""
	}
	return host, port
}

// clashes reports whether the two addresses cannot be bound at the same time.
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

// maxHostNames is the maximum number of names in ADMIN_HOSTS.
const maxHostNames = 16

// hostNames is a list of host names in lower case, without ports.
type hostNames struct{ list []string }

func (h *hostNames) UnmarshalText(text []byte) error {
	var list []string
	for item := range strings.SplitSeq(string(text), ",") {
		name := strings.ToLower(strings.TrimSpace(item))
		parts := authorityPattern.FindStringSubmatch(name)
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

// upstreams is a list of the addresses of one service. Each has a scheme and a host with an
// optional port, and no path, or is the URL of a Unix socket.
type upstreams struct {
	list []*url.URL
}

func (u *upstreams) UnmarshalText(text []byte) error {
	s := string(text)
	// An error must not quote a password. The path of a socket may contain the character.
	if strings.Contains(s, "@") && !hasUnixPrefix(s) {
		return errors.New("a URL with user information")
	}
	var list []*url.URL
	seen := map[string]bool{}
	for item := range strings.SplitSeq(s, ",") {
		parsed, err := parseUpstream(strings.TrimSpace(item))
		if err != nil {
			return err
		}
		name := upstream.Name(parsed)
		if !upstream.IsUnix(parsed) {
			name = strings.ToLower(name)
		}
		switch {
		case seen[name]:
			return fmt.Errorf("%s twice", quote(name))
		case len(list) == upstream.MaxAddresses:
			return fmt.Errorf("more than %d addresses", upstream.MaxAddresses)
		case len(list) > 0 && list[0].Scheme != parsed.Scheme:
			return fmt.Errorf("both %s and %s", schemePrefix(list[0]), schemePrefix(parsed))
		}
		seen[name] = true
		list = append(list, parsed)
	}
	u.list = list
	return nil
}

const unixPrefix = "unix:"

func hasUnixPrefix(s string) bool {
	return len(s) >= len(unixPrefix) && strings.EqualFold(s[:len(unixPrefix)], unixPrefix)
}

func schemePrefix(u *url.URL) string {
	if upstream.IsUnix(u) {
		return unixPrefix
	}
	return u.Scheme + "://"
}

func parseUpstream(s string) (*url.URL, error) {
	if hasUnixPrefix(s) {
		return parseSocket(s)
	}
	parsed, err := url.Parse(s)
	switch {
	case s == "":
		return nil, errors.New(quote(s))
	case err != nil:
		return nil, fmt.Errorf("%s, which is not a URL", quote(s))
	}
	if problem := validateUpstream(parsed, s); problem != "" {
		return nil, fmt.Errorf("%s in %s", problem, quote(s))
	}
	return &url.URL{Scheme: parsed.Scheme, Host: parsed.Host}, nil
}

// maxSocketPath is the length of the longest path of a Unix socket, in bytes: the kernel's
// structure has one more for the end of the string (unix(7)).
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// parseSocket parses the URL of a Unix socket. Two slashes before the absolute path are
// accepted, as in URLs of other programs. The path is not decoded.
func parseSocket(text string) (*url.URL, error) {
	path := strings.TrimPrefix(text[len(unixPrefix):], "//")
	switch {
	case !strings.HasPrefix(path, "/"):
		return nil, fmt.Errorf("no absolute path in %s", quote(text))
	case len(path) > maxSocketPath:
		return nil, fmt.Errorf("a path of %d bytes, more than the %d that the system allows", len(path), maxSocketPath)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		return nil, fmt.Errorf("a path with control characters in %s", quote(text))
	default:
		return upstream.UnixURL(path), nil
	}
}

// validateUpstream returns the fault of an upstream URL, or "".
func validateUpstream(u *url.URL, text string) string {
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

// healthPath is a path that starts with a single slash, with an optional query.
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

// echoPath is a path that every server interprets in the same way, except "/".
type echoPath string

var echoPathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

func (p *echoPath) UnmarshalText(text []byte) error {
	s := string(text)
	if !echoPathPattern.MatchString(s) || len(s) > 200 {
		return errors.New(quote(s))
	}
	if _, err := access.ParseTarget(s); err != nil {
		return errors.New(quote(s))
	}
	if s == "/healthz" {
		return fmt.Errorf("%s, which has another purpose", quote(s))
	}
	*p = echoPath(s)
	return nil
}
