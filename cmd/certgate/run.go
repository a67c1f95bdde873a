package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/caarlos0/env/v11"

	"github.com/certgate/certgate/internal/surface/echo"
)

// The exit codes, part of the contract with scripts.
const (
	exitOK      = 0
	exitFailure = 1 // the command failed, or its verdict is a refusal
	exitUsage   = 2 // the command line or the configuration is wrong, or a file cannot be read
)

// surroundings are what a command may touch besides its arguments.
type surroundings struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func (s surroundings) variables() map[string]string { return env.ToMap(s.environ) }

// grammar is the command line.
type grammar struct {
	Serve   serveCommand   `cmd:"" help:"Run the gateway. Settings are environment variables."`
	Health  healthCommand  `cmd:"" help:"Ask a running gateway for its health."`
	Check   checkCommand   `cmd:"" help:"Check the configuration and start nothing."`
	Explain explainCommand `cmd:"" help:"Show step by step what the gateway would say to a request."`
	Doctor  doctorCommand  `cmd:"" help:"Send canaries through the load balancer and say what arrives."`
	Keys    keysCommand    `cmd:"" help:"List the keys in force, or those of a file."`
	CA      caCommand      `cmd:"" name:"ca" help:"Make a master key (see certgate ca init)."`
	Issue   issueCommand   `cmd:"" help:"Issue a client certificate."`
	Inspect inspectCommand `cmd:"" help:"Show what matters of a certificate, and what speaks against it."`
	Header  headerCommand  `cmd:"" help:"Print a certificate as the value of the header."`
	Agent   agentCommand   `cmd:"" help:"Sign the requests of a program beside it."`
	Sign    signCommand    `cmd:"" help:"Print the header with which to send one signed request."`
	Request requestCommand `cmd:"" help:"Sign one request and send it."`
	Version versionCommand `cmd:"" help:"Print the version."`

	VersionFlag kong.VersionFlag `name:"version" hidden:"" help:"Print the version."`
}

// errNo makes the exit code 1, or 2 within a usageError, without another message:
// the command has already printed its verdict.
var errNo = errors.New("no")

// usageError is a fault in the command line or the environment, or a file that
// cannot be read: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, s surroundings) (code int) {
	var g grammar
	done, help := false, s.stdout
	bare := len(args) == 0
	if bare { // a newcomer's first try: help, but no success for a script
		args, help = []string{"--help"}, s.stderr
	}
	parser, err := kong.New(&g,
		kong.Name("certgate"),
		kong.Description("Tells a service which application is calling, where TLS ends before it.\n\nExit codes: 0 success, 1 failure or refusal, 2 wrong command line or configuration, or a file that cannot be read."),
		kong.Writers(help, s.stderr),
		kong.Exit(func(status int) { code, done = status, true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
		kong.Vars{"forms": formNames(","), "form_list": formNames(", "), "echo_path": echo.Path, "version": version})
	if err != nil {
		return report(args, s, err)
	}
	command, err := parser.Parse(args)
	switch {
	case done && bare:
		return report(args, s, usageError{errors.New("want a command, found none; see certgate --help")})
	case done:
		return code
	case err != nil:
		return report(args, s, usageError{fmt.Errorf("%w; see %s", err, helpOf(err))})
	}
	return report(args, s, command.Run())
}

// helpOf is the call for help on the command in whose arguments the error lies.
func helpOf(err error) string {
	const help = "certgate --help"
	e, ok := errors.AsType[*kong.ParseError](err)
	if !ok || e.Context == nil || e.Context.Selected() == nil {
		return help
	}
	return help + strings.TrimPrefix(e.Context.Selected().FullPath(), "certgate")
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(s surroundings) error {
	_, err := fmt.Fprintln(s.stdout, version)
	return err
}
