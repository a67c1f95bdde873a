package clients

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// clientProgram is one of the programs under clients, which the README shows.
type clientProgram struct {
	file    string
	command []string // runs the file that follows it
	probe   []string // succeeds where the command and its library are installed
	from    string   // the Debian package
	mixed   bool     // takes the certificate out of a file that begins with a key
	// raw is the expression that users write by mistake instead of encoded, and says is the
	// error of the client in that case.
	encoded, raw, says string
	compiled           []string // runs the program without compiling it
}

// clientPrograms returns the programs that attach a certificate. Python is Debian's, which
// has Debian's libraries. The flags of Java shorten its start.
func clientPrograms() []clientProgram {
	python := "/usr/bin/python3"
	return []clientProgram{
		{file: "curl.sh", command: []string{"bash"}, probe: []string{"curl", "--version"}, from: "curl", mixed: true,
			encoded: `$certificate"`, raw: `$(cat "$1")"`, says: "There are line breaks in a header"},
		{file: "faraday.rb", command: []string{"ruby"}, probe: []string{"ruby", "-rfaraday", "-e", "0"}, from: "ruby-faraday", mixed: true,
			encoded: "Base64.strict_encode64(certificate.to_der)", raw: "File.read(file)", says: "this cannot include CR/LF (ArgumentError)"},
		{file: "with_urllib.py", command: []string{python}, probe: []string{python, "-c", "import urllib.request"}, from: "python3",
			encoded: "base64.b64encode(certificate).decode()", raw: "pathlib.Path(file).read_text()", says: "ValueError: Invalid header value"},
		{file: "with_requests.py", command: []string{python}, probe: []string{python, "-c", "import requests"}, from: "python3-requests",
			encoded: "base64.b64encode(certificate).decode()", raw: "pathlib.Path(file).read_text()", says: "InvalidHeader: Invalid leading whitespace, reserved character(s), or return"},
		{file: "fetch.mjs", command: []string{"node"}, probe: []string{"node", "-e", "fetch"}, from: "nodejs", mixed: true,
			encoded: `certificate.raw.toString("base64")`, raw: `readFileSync(file, "utf8")`, says: "is an invalid header value"},
		{file: "roundtripper/main.go", command: []string{"go", "run"}, probe: []string{"go", "version"}, from: "golang",
			encoded: "base64.StdEncoding.EncodeToString(block.Bytes)", raw: "string(text)", says: `net/http: invalid header field value for "X-Ssl-Auth"`},
		{file: "Client.java", command: []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}, probe: []string{"java", "-version"}, from: "default-jre-headless",
			encoded: "Base64.getEncoder().encodeToString(certificate)", raw: "Files.readString(Path.of(args[0]))", says: "IllegalArgumentException: invalid header value"},
		{file: "streams.php", command: []string{"php"}, probe: []string{"php", "--version"}, from: "php-cli", mixed: true,
			encoded: "base64_encode($certificate)", raw: "file_get_contents($file)", says: "There are line breaks in a header"},
	}
}

// need skips the test if the client's language is not installed. In CI that is a failure.
func (c clientProgram) need(t *testing.T) {
	t.Helper()
	if exec.CommandContext(t.Context(), c.probe[0], c.probe[1:]...).Run() != nil {
		harness.SkipMissing(t, c.from)
	}
}

func (c clientProgram) path(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(c.file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// post runs the program.
func (c clientProgram) post(t *testing.T, file, url string) harness.Result {
	t.Helper()
	return c.run(t, file, url)
}

func (c clientProgram) run(t *testing.T, args ...string) harness.Result {
	t.Helper()
	if len(c.compiled) > 0 {
		return harness.RunProgram(t, c.compiled[0], nil, slices.Concat(c.compiled[1:], args)...)
	}
	return harness.RunProgram(t, c.command[0], nil, slices.Concat(c.command[1:], []string{c.path(t)}, args)...)
}

// compile compiles a program whose documented command does that each time. The first run of
// a test uses the documented command.
func (c clientProgram) compile(t *testing.T) clientProgram {
	t.Helper()
	dir := t.TempDir()
	var result harness.Result
	switch filepath.Ext(c.file) {
	case ".java":
		result = harness.RunProgram(t, "java", nil, append(c.command[1:], "-m", "jdk.compiler/com.sun.tools.javac.Main", "-d", dir, c.path(t))...)
		c.compiled = slices.Concat(c.command, []string{"-cp", dir, "Client"})
	case ".go":
		c.compiled = []string{filepath.Join(dir, "client")}
		result = harness.RunProgram(t, "go", nil, "run", "-exec", "cp", c.path(t), c.compiled[0])
	}
	if result.ExitCode != 0 {
		t.Fatalf("%s: want it compiled, found %+v", c.file, result)
	}
	return c
}

const appsAdd = `rules:
  - name: apps-add-events
    clients: [mail, social]
    allow: ["POST /events"]
`

// TestClientPrograms runs every client program with a request that is allowed and with
// refused ones.
func TestClientPrograms(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	key := string(m.ReadFile(t, "p256.key"))
	harness.KeepPEM([]byte(key))
	file, keyFile, mixed := filepath.Join(m.Dir, "mail.crt"), filepath.Join(m.Dir, "mail.key"), filepath.Join(m.Dir, "mail.pem")
	m.WriteFile(t, "mail.crt", string(mail.PEM))
	m.WriteFile(t, "mail.key", key)
	m.WriteFile(t, "mail.pem", key+string(mail.PEM))
	u := harness.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "the event is noted")
	})
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"ACCESS_RULES": appsAdd}))
	events := "http://" + g.Addr + "/events"

	for _, c := range clientPrograms() {
		t.Run(c.file, func(t *testing.T) {
			c.need(t)
			files := []string{file}
			if c.mixed {
				files = append(files, mixed)
			}
			for _, file := range files {
				result := c.post(t, file, events)
				if result.ExitCode != 0 || !strings.Contains(result.Stdout, "201") || !strings.Contains(result.Stdout, "the event is noted") {
					t.Fatalf("%s: want exit code 0, 201 and the response, found %+v", filepath.Base(file), result)
				}
				wantEvent(t, u.Take())
			}
			c = c.compile(t)
			result := c.post(t, file, "http://"+g.Addr+"/schedules")
			if result.ExitCode == 0 || !strings.Contains(result.Stdout, "403") || !strings.Contains(result.Stdout, `"reason":"access_denied"`) {
				t.Errorf("want an exit code, 403 and access_denied, found %+v", result)
			}
			u.WantNothing(t)
			c.wantKeyStays(t, keyFile)
			for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
				c.wantNotRedirected(t, status, file, "URL")
			}
		})
	}
}

// wantEvent expects the article's event of mail, complete and once.
func wantEvent(t *testing.T, received string) {
	t.Helper()
	reader := bufio.NewReader(strings.NewReader(received))
	request, err := http.ReadRequest(reader)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil || request.Method != http.MethodPost || request.URL.Path != "/events" || request.Header.Get("Content-Type") != "application/json" {
		t.Errorf("want POST /events with JSON, found %s %s with %q and %v", request.Method, request.URL, request.Header, err)
	}
	if names := request.Header.Values("X-Client-Id"); len(names) != 1 || names[0] != "mail" {
		t.Errorf("want one X-Client-Id: mail, found %q", names)
	}
	var found, want any
	if err := json.Unmarshal([]byte(harness.EventJSON("Meeting")), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &found); err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("want the event %v, found %q", want, body)
	}
	if rest, _ := io.ReadAll(reader); len(rest) != 0 {
		t.Errorf("want one request, found %d bytes after it", len(rest))
	}
}

// wantKeyStays runs the program with a private key instead of a certificate, and expects
// that the program sends nothing.
func (c clientProgram) wantKeyStays(t *testing.T, keyFile string) {
	t.Helper()
	server := harness.NewUpstream(t, nil)
	if result := c.post(t, keyFile, server.URL+"/events"); result.ExitCode == 0 {
		t.Errorf("want an exit code for a key, found %+v", result)
	}
	server.WantNothing(t)
}

// wantNotRedirected checks that the program does not follow a redirect with the status:
// another server could send the attached credential to the gateway. The argument URL of the
// program is replaced.
func (c clientProgram) wantNotRedirected(t *testing.T, status int, args ...string) {
	t.Helper()
	elsewhere := harness.NewUpstream(t, nil)
	redirecting := harness.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/events", status)
	})
	args[slices.Index(args, "URL")] = redirecting.URL + "/events"
	result := c.run(t, args...)
	if !strings.Contains(result.Stdout, strconv.Itoa(status)) || result.ExitCode == 0 && c.command[0] != "bash" {
		t.Errorf("want an exit code and %d from a redirect, found %+v", status, result)
	}
	elsewhere.WantNothing(t)
}

// TestClientsRejectLineBreaks checks the error of each client program when the PEM file
// itself is attached.
func TestClientsRejectLineBreaks(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	m.WriteFile(t, "mail.crt", string(m.Issue(t, harness.OU("mail")).PEM))
	g := harness.NewGateway(t, m, nil)
	for _, c := range clientPrograms() {
		t.Run(c.file, func(t *testing.T) {
			c.need(t)
			program := string(harness.ReadFile(t, filepath.FromSlash(c.file)))
			if strings.Count(program, c.encoded) != 1 {
				t.Fatalf("want %q once in %s", c.encoded, c.file)
			}
			program = strings.Replace(strings.Replace(program, c.encoded, c.raw, 1), "\t\"encoding/base64\"\n", "", 1)
			naive := filepath.Join(t.TempDir(), filepath.Base(c.file))
			harness.WriteFile(t, program, naive)
			result := harness.RunProgramUnrecorded(t, c.command[0], nil, append(c.command[1:], naive, filepath.Join(m.Dir, "mail.crt"), "http://"+g.Addr+"/events")...)
			if result.ExitCode == 0 || !strings.Contains(result.Stdout+result.Stderr, c.says) {
				t.Errorf("want an exit code and %q, found %d and another error", c.says, result.ExitCode)
			}
			g.Upstream.WantNothing(t)
			if !strings.Contains(harness.Documents(t), c.says) {
				t.Errorf("want %q in the README, found none", c.says)
			}
		})
	}
}

// TestDocumentedClients checks that the documents link every client program and show some
// of them unchanged.
func TestDocumentedClients(t *testing.T) {
	t.Parallel()
	text, programs := harness.Documents(t), slices.Concat(clientPrograms(), signingPrograms())
	for _, c := range programs {
		if !strings.Contains(text, "("+c.file+")") && !strings.Contains(text, "test/clients/"+c.file+")") {
			t.Errorf("want a link to %s in the README, found none", c.file)
		}
	}
	for file, language := range map[string]string{"faraday.rb": "ruby", "with_requests.py": "python", "sign.py": "python"} {
		program := string(harness.ReadFile(t, file))
		if !strings.Contains(text, "```"+language+"\n"+program+"```\n") {
			t.Errorf("want clients/%s as it is in the README, found another", file)
		}
	}
	files, err := os.ReadDir(".")
	files = slices.DeleteFunc(files, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), "_test.go") })
	files = slices.DeleteFunc(files, func(f os.DirEntry) bool { return f.Name() == "README.md" })
	if err != nil || len(files) != len(programs) {
		t.Errorf("want each of the clients run, found %d and %v", len(files), err)
	}
}
