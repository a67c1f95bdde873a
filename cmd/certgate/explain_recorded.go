package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/tool/advice"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// recordedExplanation is a recorded decision with the answer of the rules in the
// configuration. Its JSON always has every key.
type recordedExplanation struct {
	simulation.Entry
	Title  string            `json:"title"`  // of the reason
	Advice string            `json:"advice"` // what to do about a refusal
	Now    simulation.Answer `json:"now"`    // with empty values if no rules are set
	Lines  int               `json:"lines"`  // with this request id; the last one is explained
}

// explainRecorded explains a request in a log.
func (c explainCommand) explainRecorded(ctx context.Context, env environment) error {
	rules, err := loadRules(env, unusedRules())
	if err != nil {
		return err
	}
	e, err := c.findRequest(ctx, env)
	if err != nil {
		return err
	}
	if isSet(env.variables(), "ACCESS_RULES") {
		e.Now = rules.DecideEntry(&e.Entry)
	}
	reason := refusal.Reason(e.Reason)
	if e.Advice = advice.For(reason); e.Advice != "" { // a reason of this version
		e.Title = reason.Title()
	}
	if c.JSON {
		err = printJSON(env.stdout, e)
	} else {
		err = e.print(env.stdout)
	}
	if err == nil && !e.allowed() {
		err = errSilent
	}
	return err
}

// findRequest returns the last line of the log with the request id.
func (c explainCommand) findRequest(ctx context.Context, env environment) (found recordedExplanation, err error) {
	requests := 0
	var skipped simulation.Skipped
	err = readLog(env, c.Log, func(log io.Reader) (err error) {
		skipped, err = simulation.ReadLog(log, func(e *simulation.Entry) error {
			requests++
			if e.RequestID == c.RequestID {
				found.Entry = *e
				found.Lines++
			}
			return ctx.Err()
		})
		return err
	})
	if err != nil || found.Lines > 0 {
		return found, err
	}
	text := ""
	if skipped.Lines() > 0 {
		text = "; " + skippedText(skipped)
	}
	return found, usageError{fmt.Errorf("%s: want a line with the request id %.140q, found none among %s%s",
		inputName(c.Log), c.RequestID, count(requests, "request"), text)}
}

// allowed reports whether the rules now allow the request and it was not refused for a reason
// that does not depend on rules. Without rules it reports whether the request was allowed.
func (e *recordedExplanation) allowed() bool {
	if e.Now.Decision == "" || !e.DecidedByRules() {
		return e.Decision == "allowed"
	}
	return e.Now.Decision == "allowed"
}

func (e *recordedExplanation) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		if text := strings.TrimSpace(fmt.Sprintf(format, args...)); text != "" {
			_, _ = fmt.Fprintf(table, "%s\t%s\n", name, printable(text))
		}
	}
	row("request", "%s %s", e.Method, e.Path)
	row("time", "%s", e.Time)
	row("source", "%s", e.Source)
	row("trace", "%s", e.TraceID)
	row("client", "%s", e.clientText())
	row("recorded", "%s", e.decisionText())
	row("meaning", "%s", e.Title)
	row("detail", "%s", e.Detail)
	row("what to do", "%s", e.Advice)
	row("rules now", "%s", e.nowText())
	if e.Lines > 1 {
		row("note", "the log has %d lines with this request id; this is the last one", e.Lines)
	}
	return table.Flush()
}

// clientText describes the client, or "unknown".
func (e *recordedExplanation) clientText() string {
	parts := []string{e.Client}
	if e.Client == "" {
		parts = []string{"unknown: no accepted certificate"}
	}
	if e.Auth != "" {
		parts = append(parts, e.Auth)
	}
	if e.Serial != "" {
		parts = append(parts, "certificate "+e.Serial+" signed by key "+e.KeyID)
	}
	return strings.Join(parts, ", ")
}

func (e *recordedExplanation) decisionText() string {
	text := e.Decision
	if e.Rule != "" {
		text += " by rule " + e.Rule
		if e.Decision == refused {
			text = "refused after rule " + e.Rule + " allowed it"
		}
	}
	if e.Reason != "" {
		text += fmt.Sprintf(": %d %s", e.Status, e.Reason)
	}
	if e.WouldRefuse != "" {
		text += ", with proof: require refused for " + e.WouldRefuse
	}
	return text
}

// nowText describes the answer of the rules.
func (e *recordedExplanation) nowText() string {
	text := e.Now.Decision + ": " + e.Now.Detail
	switch e.Now.Decision {
	case "":
		return "not set (ACCESS_RULES or ACCESS_RULES_FILE)"
	case "allowed":
		text = "allowed by rule " + e.Now.Rule
	}
	if !e.DecidedByRules() && e.Reason != "" && e.Client != "" {
		text += ", once the request is not refused for " + e.Reason
	}
	return text
}
