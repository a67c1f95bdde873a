package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/certgate/certgate/internal/surface/echo"
)

// Exit codes. Scripts depend on them.
const (
	exitOK      = 0
	exitFailure = 1 // the command failed, or its verdict is a refusal
	exitUsage   = 2 // wrong command line or configuration, or a file that cannot be read
)

// cli defines the commands.
type cli struct {
	Serve   serveCommand   `cmd:"" help:"Run the gateway. Settings are environment variables."`
	Health  healthCommand  `cmd:"" help:"Check the health of a running gateway."`
	Check   checkCommand   `cmd:"" help:"Check the configuration without starting the gateway."`
	Explain explainCommand `cmd:"" help:"Show step by step how the gateway would decide about a request."`
	Replay  replayCommand  `cmd:"" help:"Show which requests of an audit log other rules would decide differently."`
	Doctor  doctorCommand  `cmd:"" help:"Send test requests through the load balancer and report what arrives."`
	Keys    keysCommand    `cmd:"" help:"List the trusted keys of the configuration or of a file."`
	CA      caCommand      `cmd:"" name:"ca" help:"Create a master key (see certgate ca init)."`
	Issue   issueCommand   `cmd:"" help:"Issue a client certificate."`
	Inspect inspectCommand `cmd:"" help:"Show a certificate, and every reason to refuse it."`
	Header  headerCommand  `cmd:"" help:"Print a certificate as the value of the header."`
	Agent   agentCommand   `cmd:"" help:"Run a local proxy that signs the requests of a program."`
	Sign    signCommand    `cmd:"" help:"Print the header of one signed request."`
	Request requestCommand `cmd:"" help:"Sign one request and send it."`
	Version versionCommand `cmd:"" help:"Print the version, the commit and the version of Go."`

	VersionFlag kong.VersionFlag `name:"version" hidden:"" help:"Print the version."`
}

// description is the first paragraph of certgate --help.
const description = "Authenticates client applications behind a TLS-terminating load balancer and tells the service which one is calling.\n\n" +
	"Exit codes: 0 success, 1 failure or refusal, 2 wrong command line or configuration, or a file that cannot be read."

// errSilent makes the exit code 1, or 2 within a usageError, without another message:
// the command has already printed its verdict.
var errSilent = errors.New("refused")

// usageError is an error in the command line or the environment, or a file that cannot
// be read. The exit code is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// afterwards is what a command does when its method Run has returned: by then, the memory of the
// command line's parser can be collected.
type afterwards func() error

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, env environment) (code int) {
	done, help, rest := false, env.stdout, afterwards(func() error { return nil })
	noCommand := len(args) == 0
	if noCommand { // print the help, but do not report success to a script
		args, help = []string{"--help"}, env.stderr
	}
	parser, err := kong.New(&cli{},
		kong.Name("certgate"),
		kong.Description(description),
		kong.Writers(help, env.stderr),
		kong.Exit(func(status int) { code, done = status, true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(env, &rest),
		kong.Vars{"forms": formNames(","), "form_list": formNames(", "), "echo_path": echo.Path, "version": readBuildInfo().String()})
	if err != nil {
		return exitCode(args, env, err)
	}
	command, err := parser.Parse(args)
	switch {
	case done && noCommand:
		return exitCode(args, env, usageError{errors.New("want a command, found none; see certgate --help")})
	case done:
		return code
	case err != nil:
		return exitCode(args, env, usageError{fmt.Errorf("%w; see %s", err, helpCommand(err))})
	}
	if err = command.Run(); err == nil {
		err = rest()
	}
	return exitCode(args, env, err)
}

// helpCommand returns the command line that prints the help of the command to whose
// arguments the error belongs.
func helpCommand(err error) string {
	const help = "certgate --help"
	e, ok := errors.AsType[*kong.ParseError](err)
	if !ok || e.Context == nil || e.Context.Selected() == nil {
		return help
	}
	return help + strings.TrimPrefix(e.Context.Selected().FullPath(), "certgate")
}
