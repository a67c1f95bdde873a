package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// section returns the part of the reference with this heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("want the heading %q, found none", heading)
	}
	after, _, _ = strings.Cut(after, "\n## ")
	return after
}

// block returns the first code block in a text that begins with this line.
func block(t *testing.T, text, first string) string {
	t.Helper()
	_, after, found := strings.Cut(text, first)
	code, _, closed := strings.Cut(after, "\n```")
	if !found || !closed {
		t.Fatalf("want a code block with %q, found none", first)
	}
	return code + "\n"
}

// TestDocumentedReplay compares the transcript of certgate replay in the reference with the
// output of the command.
func TestDocumentedReplay(t *testing.T) {
	t.Parallel()
	want := block(t, section(t, "## Trying new rules"), "$ certgate replay --rules new.yaml certgate.log\n")
	var stdout, stderr strings.Builder
	dir := filepath.Join("testdata", "replay")
	code := run(context.Background(), []string{"replay", "--rules", filepath.Join(dir, "new.yaml"), filepath.Join(dir, "certgate.log")},
		environment{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr})
	if code != exitFailure || stdout.String() != want || stderr.Len() > 0 {
		t.Errorf("exit code %d, %s\n%s\nwant exit code %d and\n%s", code, stderr.String(), stdout.String(), exitFailure, want)
	}
}

// TestDocumentedCases decides the documented test cases with the documented rules.
func TestDocumentedCases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	access := section(t, "## Access rules")
	rules := strings.NewReplacer("sha256/<base64>", "sha256/"+strings.Repeat("A", 43)+"=", "<64 hex digits>", strings.Repeat("0", 64)).
		Replace("rules:\n" + block(t, access, "```yaml\nrules:\n"))
	cases := write("cases.yaml", "cases:\n"+block(t, section(t, "## Trying new rules"), "```yaml\ncases:\n"))
	key, err := unusedKey()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	code := run(context.Background(), []string{"check", "--tests", cases}, environment{
		environ: []string{"AUTH_PUBLIC_KEY=" + key.value, "ACCESS_RULES=" + rules, "UPSTREAM_URL=http://127.0.0.1:8081"},
		stdout:  &stdout, stderr: &stderr,
	})
	if code != exitOK || !strings.HasSuffix(stdout.String(), "\ntests: 3 passed, 0 failed\n") {
		t.Errorf("exit code %d, %s\n%s, want 3 passed tests", code, stderr.String(), stdout.String())
	}
}

// TestReplayEndsWithItsContext checks that an interrupt ends a replay without a report.
func TestReplayEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var stdout, stderr strings.Builder
	dir := filepath.Join("testdata", "replay")
	code := run(ctx, []string{"replay", "--rules", filepath.Join(dir, "new.yaml"), filepath.Join(dir, "certgate.log")},
		environment{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr})
	if code != exitFailure || stdout.Len() > 0 || stderr.String() != "certgate: context canceled\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout.String(), stderr.String())
	}
}
