// Package resp is a client of a Redis server that accepts few types of reply, each of
// bounded length.
//
// It parses the protocol RESP2 itself. The library go-redis accepts any type of reply as a
// status, and a length sent by the server can make it allocate gigabytes or panic.
package resp

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Server is the address of a Redis server and the login for it. The zero value means
// that no server is configured. User and password are never part of its printed form.
type Server struct {
	login *login // a pointer, because fmt does not print what it points to
}

type login struct {
	host, port     string
	user, password string
	database       int
	encrypted      bool
}

// ParseServer reads redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss://
// for TLS. An error describes the defect and does not quote the text, which can contain a
// password.
func ParseServer(text string) (Server, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Server{}, errors.New("no URL" + encoding) // the error would quote it
	}
	l := &login{host: u.Hostname(), port: u.Port(), encrypted: u.Scheme == "rediss"}
	if l.port == "" {
		l.port = "6379"
	}
	if err := cmp.Or(checkPlace(u, l.port), checkRest(u)); err != nil {
		return Server{}, err
	}
	l.user = u.User.Username()
	l.password, _ = u.User.Password()
	if database := strings.TrimPrefix(u.Path, "/"); database != "" {
		if l.database, err = parseDatabase(database); err != nil {
			return Server{}, err
		}
	}
	return Server{l}, nil
}

// encoding is appended to errors that a password with reserved characters can cause.
const encoding = " (in a password, ? # / @ and % have to be percent-encoded)"

func checkPlace(u *url.URL, port string) error {
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return errors.New("another scheme")
	case u.Hostname() == "":
		return errors.New("no host")
	case err != nil || number == 0 || strings.HasSuffix(u.Host, ":"):
		return errors.New("a port that is not a number from 1 to 65535")
	}
	return nil
}

// checkRest refuses a query, a fragment and a user without a password. Other clients
// accept options in the query, for example to skip the check of the server's
// certificate, which this package does not allow.
func checkRest(u *url.URL) error {
	password, _ := u.User.Password()
	switch {
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("a query or a fragment" + encoding)
	case u.User != nil && password == "":
		return errors.New("a user without a password")
	}
	return nil
}

func parseDatabase(text string) (int, error) {
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || strings.HasPrefix(text, "+") {
		return 0, errors.New("a path that is not the number of a database")
	}
	return int(number), nil
}

// IsZero reports whether s is the zero value.
func (s Server) IsZero() bool { return s.login == nil }

// Addr returns host:port, or an empty string for the zero value.
func (s Server) Addr() string {
	if s.IsZero() {
		return ""
	}
	return net.JoinHostPort(s.login.host, s.login.port)
}

// String returns the URL without user and password.
func (s Server) String() string {
	if s.IsZero() {
		return ""
	}
	scheme := "redis"
	if s.login.encrypted {
		scheme = "rediss"
	}
	return scheme + "://" + s.Addr() + "/" + strconv.Itoa(s.login.database)
}

// MarshalText returns String, so that JSON contains neither user nor password.
func (s Server) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Explain adds the server's address to an error. It hides an error whose text contains the
// password.
func (s Server) Explain(err error) error {
	text := err.Error()
	if secret := s.login.password; secret != "" && (strings.Contains(text, secret) || strings.Contains(text, strings.Trim(strconv.Quote(secret), `"`))) {
		return fmt.Errorf("redis %s: an error that is not shown, because the password is in its text", s.Addr())
	}
	return fmt.Errorf("redis %s: %w", s.Addr(), err)
}

// tls returns the TLS configuration, or nil if the connection is not encrypted. The
// server's certificate is checked against the system's roots; SSL_CERT_FILE applies.
func (l *login) tls() *tls.Config {
	if !l.encrypted {
		return nil
	}
	return &tls.Config{ServerName: l.host, MinVersion: tls.VersionTLS12}
}
