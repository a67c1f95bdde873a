package redisserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// Operator is a connection to a server for the commands of an operator. It does not use the
// code under test. Create one with [Server.Operator].
type Operator struct {
	tb     TB
	socket net.Conn
	reader *bufio.Reader
}

// Operator connects to the server, with a password unless it is empty.
func (s *Server) Operator(tb TB, password string) *Operator {
	tb.Helper()
	socket, err := net.Dial("tcp", s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = socket.Close() })
	o := &Operator{tb, socket, bufio.NewReader(socket)}
	if password != "" {
		o.Do("AUTH", password)
	}
	return o
}

// Do sends a command and returns the reply: one text, or those of an array. An integer is
// decimal, and a missing value is empty. An error reply fails the test.
func (o *Operator) Do(command ...string) []string {
	o.tb.Helper()
	if _, err := fmt.Fprintf(o.socket, "*%d\r\n", len(command)); err != nil {
		o.tb.Fatal(err)
	}
	for _, word := range command {
		if _, err := fmt.Fprintf(o.socket, "$%d\r\n%s\r\n", len(word), word); err != nil {
			o.tb.Fatal(err)
		}
	}
	reply, err := o.reply()
	if err != nil {
		o.tb.Fatal(command[0], err)
	}
	return reply
}

// Int is Do for a command whose reply is an integer.
func (o *Operator) Int(command ...string) int {
	o.tb.Helper()
	n, err := strconv.Atoi(strings.Join(o.Do(command...), " "))
	if err != nil {
		o.tb.Fatal(err)
	}
	return n
}

func (o *Operator) reply() ([]string, error) {
	line, err := o.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	kind, text := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '+', ':':
		return []string{text}, nil
	case '$', '*':
	default:
		return nil, errors.New(text)
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return nil, err
	case kind == '*':
		return o.array(n)
	case n < 0:
		return []string{""}, nil
	}
	bulk := make([]byte, n+len("\r\n"))
	_, err = io.ReadFull(o.reader, bulk)
	return []string{string(bulk[:n])}, err
}

func (o *Operator) array(n int) (all []string, err error) {
	for range n {
		element, err := o.reply()
		if err != nil {
			return nil, err
		}
		all = append(all, element...)
	}
	return all, nil
}
