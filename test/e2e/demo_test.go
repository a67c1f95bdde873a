package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// base64Run matches a run of base64 characters that is longer than any path, address or id that a
// demo prints. Only credentials match.
var base64Run = regexp.MustCompile(`[A-Za-z0-9+=]{40,}|MI[A-Za-z0-9+/]{18,}`)

// wantTranscript checks what each demo prints.
func wantTranscript(t *testing.T, text string) {
	t.Helper()
	for _, want := range []string{
		"1. The mail app adds an event", "2. The social app adds an event",
		"< 201 Created", "< 200 OK", "< 401 Unauthorized", "< 403 Forbidden",
		`"client": "mail"`, `"client": "social"`,
		"X-Client-Id: mail, X-Client-Auth: bearer", "14. The attacker adds an event as mail", "urn:certgate:assertion_invalid", "X-Client-Id: social, X-Client-Auth: signed",
		`"reason": "proof_missing"`, `"reason": "proof_replayed"`, `"reason": "proof_digest"`, `"reason": "proof_invalid"`,
		`"reason": "credential_missing"`, `"reason": "certificate_untrusted"`, `"reason": "certificate_expired"`, `"reason": "access_denied"`,
		"\n14 of 14 responses were as expected.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in the transcript, found none", want)
		}
	}
	if strings.Contains(text, "!!") {
		t.Error("want every response as expected, found another")
	}
	if found := base64Run.FindString(text); found != "" {
		t.Errorf("want no credential in the transcript, found %d characters of base64", len(found))
	}
}

// wantEmpty expects an empty folder, because the demo removes its files.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("want an empty folder, found %v and %v", left, err)
	}
}

// TestDemoOnce compares the output of demo --once with the transcript in the documents.
func TestDemoOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	result := harness.Run(t, "demo", harness.Env{"TMPDIR": dir}, "-once")
	if result.ExitCode != 0 || result.Stderr != "" {
		t.Errorf("want exit code 0 and nothing on stderr, found %d and %s", result.ExitCode, result.Stderr)
	}
	wantTranscript(t, result.Stdout)
	wantExcerpt(t, result.Stdout)
	wantEmpty(t, dir)
}

// passing matches the parts of the output that differ between runs of the demo.
var passing = regexp.MustCompile(`in [^ ]*/|(created|expires)=[0-9]+|[0-9]{4}-[0-9-]{5}T[0-9:.]+Z`)

// wantExcerpt checks that the demo prints the excerpt in the README. A line of … stands for any
// number of lines.
func wantExcerpt(t *testing.T, printed string) {
	t.Helper()
	_, excerpt, found := strings.Cut(harness.Documents(t), "```\n1. The mail app adds an event\n")
	excerpt, _, whole := strings.Cut(excerpt, "```\n")
	if !found || !whole {
		t.Fatal("want the demo's transcript in the README, found none")
	}
	plain := func(text string) string { return passing.ReplaceAllString(text, "(passing)") }
	rest := plain(printed)
	for part := range strings.SplitSeq(plain(excerpt), "   …\n") {
		_, behind, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("want the README's lines in the transcript, found none like\n%s", part)
		}
		rest = behind
	}
}

// TestDemoStaysUp runs the commands that the demo prints, and ends the demo with SIGINT.
func TestDemoStaysUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := harness.Start(t, "demo", harness.Env{"TMPDIR": dir})
	if _, err := p.Stdout.WaitLine(func(line string) bool { return strings.HasPrefix(line, "Ctrl-C") }); err != nil {
		t.Fatal(err)
	}
	keepCredentials(t, dir)
	wantTranscript(t, p.Stdout.String())
	commands := toRepeat(t, p.Stdout.String())
	if len(commands) != 3 {
		t.Fatalf("want three commands to repeat, found %q", commands)
	}
	add, read, readSigned := commands[0], commands[1], commands[2]
	for _, test := range []struct{ command, want string }{
		{add, "HTTP/1.1 201 Created"},
		{read, "HTTP/1.1 200 OK"},
		{readSigned, `"client":"social"`},
		{strings.Replace(add, "mail.header", "untrusted.header", 1), "certificate_untrusted"},
		{strings.Replace(read, "mail.header", "social.header", 1), "proof_missing"},
	} {
		if printed := shell(t, dir, test.command); !strings.Contains(printed, test.want) {
			t.Errorf("%s: want %s, found %s", test.command, test.want, printed)
		}
	}
	keepLog(t, dir)
	p.Stop(t, syscall.SIGINT)
	wantEmpty(t, dir)
}

// toRepeat returns the commands in the text. It silences curl's progress and replaces certgate by the
// binary that is built already.
func toRepeat(t *testing.T, text string) []string {
	t.Helper()
	runnable := strings.NewReplacer("curl ", "curl --silent --show-error ", "go run ./cmd/certgate", harness.BinaryPath(t, "certgate"))
	var commands []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		command := strings.TrimSpace(paragraph)
		if strings.HasPrefix(command, "curl ") || strings.HasPrefix(command, "go run ") {
			commands = append(commands, runnable.Replace(command))
		}
	}
	return commands
}

// keepCredentials makes the demo's credentials known to the search for leaks.
func keepCredentials(t *testing.T, dir string) {
	t.Helper()
	for kind, keep := range map[string]func(text string){
		"header": harness.KeepSecret,
		"crt":    func(text string) { harness.KeepPEM([]byte(text)) },
		"key":    func(text string) { harness.KeepPEM([]byte(text)) },
	} {
		files, err := filepath.Glob(filepath.Join(dir, "*", "*."+kind))
		want := 5
		if kind == "key" {
			want++ // that of the assertions
		}
		if err != nil || len(files) != want {
			t.Fatalf("want %d files of kind %s, found %q and %v", want, kind, files, err)
		}
		for _, file := range files {
			keep(string(harness.ReadFile(t, file)))
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: want its owner alone to read it", file)
			}
		}
	}
}

// keepLog makes the demo's log known to the search for leaks.
func keepLog(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "gateway.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("want a log, found %q and %v", files, err)
	}
	harness.RecordOutput("demo's log", string(harness.ReadFile(t, files[0])))
}

// TestDemoCommandLine checks the exit codes for help and for arguments with which the demo
// cannot run, and that no file remains.
func TestDemoCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-help"}, 0, "Usage: demo [-once]"},
		{[]string{"-forever"}, 2, "-forever"},
		{[]string{"now"}, 2, `want no arguments, found ["now"]`},
		{[]string{"-listen", "127.0.0.1"}, 2, `-listen: want host:port, such as 127.0.0.1:8080, found "127.0.0.1"`},
		{[]string{"-listen", ":65536"}, 2, `found ":65536"`},
		{[]string{"-listen", ":http"}, 2, `found ":http"`},
		{[]string{"-listen", "192.0.2.1:1"}, 1, "LISTEN_ADDR: want an address"}, // of another machine
	} {
		dir := t.TempDir()
		result := harness.Run(t, "demo", harness.Env{"TMPDIR": dir}, test.args...)
		if result.ExitCode != test.code || !strings.Contains(result.Stderr, test.want) || result.Stdout != "" {
			t.Errorf("%q: want exit code %d and %q, found %+v", test.args, test.code, test.want, result)
		}
		wantEmpty(t, dir)
	}
}

// TestDemoInterruptedEarly checks that a SIGINT during the transcript ends the demo and
// removes its folder.
func TestDemoInterruptedEarly(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-once"}} {
		dir := t.TempDir()
		p := harness.Start(t, "demo", harness.Env{"TMPDIR": dir}, args...)
		if _, err := p.Stdout.WaitLine(func(line string) bool { return strings.HasPrefix(line, "1. ") }); err != nil {
			t.Fatal(err)
		}
		p.Signal(t, syscall.SIGINT)
		<-p.Exited
		p.ExitSeen = true // 0 or 1: the transcript may have been over
		wantEmpty(t, dir)
		if _, ok := p.Command.ProcessState.Sys().(syscall.WaitStatus); !ok || p.Command.ProcessState.ExitCode() < 0 {
			t.Errorf("%q: want an exit, found %v", args, p.Command.ProcessState)
		}
	}
}

// TestDemoWithoutReader checks that the demo removes its folder if the reader of its output
// has ended, as in demo | head.
func TestDemoWithoutReader(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
	}{
		{[]string{"-once"}, 0},
		{nil, 1}, // the user does not get the commands to continue by hand
	} {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
		defer writer.Close()
		dir := t.TempDir()
		command := exec.Command(harness.BinaryPath(t, "demo"), test.args...)
		command.Stdout = writer
		harness.StartCommand(t, "demo", harness.Env{"TMPDIR": dir}, command).WantExit(t, test.code)
		wantEmpty(t, dir)
	}
}
