package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/tool/agent"
)

type agentCommand struct {
	credentialFlags `embed:""`
	gatewayFlags    `embed:""`

	To        string        `help:"The gateway, such as https://schedule.example.com. Requests are sent nowhere else. The agent's own address is an error." required:"" placeholder:"URL"`
	Listen    string        `help:"The address of the agent: host:port, or unix: and the path of a socket." default:"127.0.0.1:7000"`
	Exposed   bool          `help:"Permit an address that other machines can reach."`
	Name      []string      `help:"A host name by which programs reach the agent, besides localhost and IP addresses. May be repeated." placeholder:"HOST"`
	MaxBody   int64         `help:"The limit for the body of a request, in bytes." default:"1048576"`
	Drain     time.Duration `help:"How long open requests may take after SIGTERM." default:"30s"`
	LogLevel  string        `help:"The lowest level that is logged: debug, with a line for each request, info, warn or error." default:"info" enum:"debug,info,warn,error"`
	LogFormat string        `help:"The format of the log: json, or console for reading at a terminal." default:"json" enum:"json,console"`
}

// Help is the long text of certgate agent --help.
func (agentCommand) Help() string {
	return `Runs a local reverse proxy for a program that cannot sign requests. It attaches the
client's certificate to each request, signs the request and forwards it to the gateway.
The program only needs another base URL. Every program that reaches the agent can send
requests as the client.

The certificate and key are loaded again when the files change and on SIGHUP. Files that
cannot be used leave the previous pair in force. The agent responds to GET /healthz
itself: 200 while requests can be signed, otherwise 503. On SIGTERM the agent finishes
open requests and ends.

Example:

  certgate agent --cert mail.crt --key mail.key --to https://schedule.example.com
  curl http://127.0.0.1:7000/events`
}

// Run serves requests until the context ends.
func (c agentCommand) Run(ctx context.Context, env environment) error {
	o, err := c.options(env)
	if err != nil {
		return usageError{err}
	}
	level, err := zapcore.ParseLevel(c.LogLevel)
	if err != nil {
		return usageError{err}
	}
	ignoreBrokenPipe()
	lines := audit.NewBuffer(env.stderr, audit.Continue)
	defer func() { _ = lines.Close() }()
	defer context.AfterFunc(ctx, func() { lines.End(time.Now().Add(c.Drain)) })()
	log, _ := audit.NewBufferedLogger(level, c.LogFormat, lines)
	defer zap.RedirectStdLog(log)()
	o.Log = log
	a, err := agent.New(ctx, o)
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("--listen: %w", err)
	}
	if errors.Is(err, agent.ErrExposed) {
		err = fmt.Errorf("--listen: %w; --exposed permits it", err)
	}
	if errors.Is(err, agent.ErrOwnAddress) {
		err = fmt.Errorf("--to: %w", err)
	}
	if err != nil {
		return usageError{err}
	}
	stop := onHangup(a.Reload)
	defer stop()
	if err := a.Run(ctx); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

func (c agentCommand) options(env environment) (agent.Options, error) {
	to, err := origin(c.To)
	switch {
	case err != nil:
		return agent.Options{}, fmt.Errorf("--to: %w", err)
	case c.MaxBody < 1:
		return agent.Options{}, fmt.Errorf("--max-body: want at least 1, found %d", c.MaxBody)
	case c.Drain < 0:
		return agent.Options{}, fmt.Errorf("--drain: want a duration, found %s", c.Drain)
	}
	if err := c.checkHeader(); err != nil {
		return agent.Options{}, err
	}
	roots, err := c.roots(env)
	if err != nil {
		return agent.Options{}, err
	}
	names := make([]string, len(c.Name))
	for i, name := range c.Name {
		if names[i] = strings.ToLower(name); name == "" || strings.ContainsAny(name, ":/") {
			return agent.Options{}, fmt.Errorf("--name: want a host name without a port, found %q", name)
		}
	}
	return agent.Options{
		CertFile: c.Cert, KeyFile: c.Key, Target: to, Listen: c.Listen, Exposed: c.Exposed, Names: names,
		Header: c.Header, Roots: roots, MaxBodyBytes: c.MaxBody, ShutdownTimeout: c.Drain, Now: time.Now,
	}, nil
}

// origin parses a URL that has a scheme and a host only.
func origin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("want http:// or https:// with a host, found %q", text)
	}
	if u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("want no user, path, query or fragment, found one")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
