package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/mattn/go-isatty"

	"github.com/certgate/certgate/internal/tool/simulation"
)

type replayCommand struct {
	Rules string   `help:"The rules to try, in the form of ACCESS_RULES_FILE." required:"" placeholder:"FILE"`
	Logs  []string `arg:"" optional:"" name:"log" help:"Audit logs, plain or gzip; - or none is standard input."`
	JSON  bool     `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate replay --help.
func (replayCommand) Help() string {
	return `Decides the requests in audit logs (the JSON lines of certgate serve) again with other
rules, and shows which requests would be refused that a rule allowed, and the reverse.
A request counts as allowed if a rule allowed it, also if its rate or another limit
refused it. The exit code is 1 if a request that was allowed would be refused, 0 if
none would, and 2 if the rules are invalid, a log cannot be read, or the logs contain no
request.

The log does not contain headers, queries and bodies, and replay does not apply rates.
Requests whose decision depends on something else that the log does not contain are
counted with the cause: signatures that were not verified, and paths that the log has
only in part. AUTH_IDENTITY and AUTH_PROOF apply as in the gateway. If AUTH_PUBLIC_KEY
is set, the rules must also fit the keys.

Example:

  certgate replay --rules new.yaml certgate.log certgate.log.1.gz
  kubectl logs deploy/certgate | certgate replay --rules new.yaml`
}

// Run replays the logs and prints the report.
func (c replayCommand) Run(ctx context.Context, env environment) error {
	rules, err := readRules(env, c.Rules)
	if err != nil {
		return err
	}
	if len(c.Logs) == 0 {
		if isTerminalInput(env.stdin) {
			return usageError{errors.New("want the names of audit logs, or a log on standard input, found a terminal")}
		}
		c.Logs = []string{"-"}
	}
	replay := simulation.NewReplay(rules)
	for _, name := range c.Logs {
		if err := readLog(env, name, func(log io.Reader) error { return replay.Read(log, ctx.Err) }); err != nil {
			return err
		}
	}
	return c.print(env.stdout, replay.Report())
}

// print prints the report. The error states the verdict.
func (c replayCommand) print(w io.Writer, r simulation.Report) error {
	if r.Requests == 0 {
		return usageError{fmt.Errorf("want lines of the audit log, found none: %s", skippedText(r.Skipped))}
	}
	var err error
	if c.JSON {
		err = printJSON(w, r)
	} else {
		_, err = io.WriteString(w, replayText(r))
	}
	if err == nil && r.Refuse > 0 {
		return errSilent
	}
	return err
}

func isTerminalInput(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// readLog calls read with a log file, or with standard input for "-". An error of reading
// is a [usageError] with the name of the log.
func readLog(env environment, name string, read func(io.Reader) error) error {
	r := env.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return usageError{err}
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	err := read(r)
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return usageError{fmt.Errorf("%s: %w", inputName(name), err)}
}

// replayText returns the report as text.
func replayText(r simulation.Report) string {
	var b strings.Builder
	writeChanges(&b, "would be refused", simulation.Refuse, r.Refuse, r.Changes)
	writeChanges(&b, "would be allowed", simulation.Allow, r.Allow, r.Changes)
	fmt.Fprintf(&b, "unchanged: %d allowed, %d refused\n", r.Allowed, r.Refused)
	if r.Undecided > 0 {
		fmt.Fprintf(&b, "not decided by rules: %s (refused or answered before)\n", count(r.Undecided, "request"))
	}
	for _, u := range r.Unknown {
		fmt.Fprintf(&b, "cannot tell: %s: %s; example %s\n", count(u.Requests, "request"), u.Cause, orNone(printable(u.Example)))
	}
	if r.Rated > 0 {
		fmt.Fprintf(&b, "not applied: rates (the new rules allow %s by a rule with a rate)\n", count(r.Rated, "request"))
	}
	if r.KeyDenials > 0 {
		fmt.Fprintf(&b, "not applied: %s of the new deny list for keys or certificates (the log has serial numbers only)\n", entries(r.KeyDenials))
	}
	fmt.Fprintf(&b, "read: %s", count(r.Requests, "request"))
	if r.From != "" {
		fmt.Fprintf(&b, " from %s to %s", printable(r.From), printable(r.To))
	}
	if r.Skipped.Lines() > 0 {
		fmt.Fprintf(&b, "; %s", skippedText(r.Skipped))
	}
	b.WriteString("\n")
	return b.String()
}

// writeChanges writes the changes of one direction.
func writeChanges(w io.Writer, title, direction string, requests int, changes []simulation.Change) {
	if requests == 0 {
		_, _ = fmt.Fprintf(w, "%s: none\n", title)
		return
	}
	_, _ = fmt.Fprintf(w, "%s: %s\n", title, count(requests, "request"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "  CLIENT\tREQUESTS\tROUTE\tWAS\tWOULD BE\tEXAMPLE")
	for _, c := range changes {
		if c.Change != direction {
			continue
		}
		was, now := "allowed by "+c.Was, c.Now
		if direction == simulation.Allow {
			was, now = c.Was, "allowed by "+c.Now
		}
		if c.Was == "" { // a row for requests that are not listed
			was, now = "", ""
		}
		_, _ = fmt.Fprintf(table, "  %s\t%d\t%s\t%s\t%s\t%s\n", printable(c.Client), c.Requests,
			printable(strings.TrimSpace(c.Method+" "+c.Route)), printable(was), printable(now), printable(c.Example))
	}
	_ = table.Flush()
}

// skippedText returns the numbers of lines that are not requests.
func skippedText(s simulation.Skipped) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{s.Other, "of other messages"},
		{s.NotJSON, "not in JSON (written with LOG_FORMAT=console, or with a prefix of another program)"},
		{s.TooLong, fmt.Sprintf("of more than %d KiB", simulation.MaxLine>>10)},
		{s.Invalid, "with values that the gateway does not write"},
	} {
		if p.n > 0 {
			parts = append(parts, count(p.n, "line")+" "+p.what)
		}
	}
	if parts == nil {
		return "the input is empty"
	}
	return "skipped " + strings.Join(parts, ", ")
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
