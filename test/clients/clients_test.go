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
}

// clientPrograms returns the programs that attach a certificate. Python is Debian's, which
// has Debian's libraries. The flags of Java shorten its start.
func clientPrograms() []clientProgram {
	python := "/usr/bin/python3"
	return []clientProgram{
		{"curl.sh", []string{"bash"}, []string{"curl", "--version"}, "curl", true,
			`$certificate"`, `$(cat "$1")"`, "There are line breaks in a header"},
		{"faraday.rb", []string{"ruby"}, []string{"ruby", "-rfaraday", "-e", "0"}, "ruby-faraday", true,
			"Base64.strict_encode64(certificate.to_der)", "File.read(file)", "this cannot include CR/LF (ArgumentError)"},
		{"with_urllib.py", []string{python}, []string{python, "-c", "import urllib.request"}, "python3", false,
			"base64.b64encode(certificate).decode()", "pathlib.Path(file).read_text()", "ValueError: Invalid header value"},
		{"with_requests.py", []string{python}, []string{python, "-c", "import requests"}, "python3-requests", false,
			"base64.b64encode(certificate).decode()", "pathlib.Path(file).read_text()", "InvalidHeader: Invalid leading whitespace, reserved character(s), or return"},
		{"fetch.mjs", []string{"node"}, []string{"node", "-e", "fetch"}, "nodejs", true,
			`certificate.raw.toString("base64")`, `readFileSync(file, "utf8")`, "is an invalid header value"},
		{"roundtripper/main.go", []string{"go", "run"}, []string{"go", "version"}, "golang", false,
			"base64.StdEncoding.EncodeToString(block.Bytes)", "string(text)", `net/http: invalid header field value for "X-Ssl-Auth"`},
		{"Client.java", []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}, []string{"java", "-version"}, "default-jre-headless", false,
			"Base64.getEncoder().encodeToString(certificate)", "Files.readString(Path.of(args[0]))", "IllegalArgumentException: invalid header value"},
		{"streams.php", []string{"php"}, []string{"php", "--version"}, "php-cli", true,
			"base64_encode($certificate)", "file_get_contents($file)", "There are line breaks in a header"},
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
	return harness.RunProgram(t, c.command[0], nil, slices.Concat(c.command[1:], []string{c.path(t)}, args)...)
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
			result := c.post(t, file, "http://"+g.Addr+"/schedules")
			if result.ExitCode == 0 || !strings.Contains(result.Stdout, "403") || !strings.Contains(result.Stdout, `"reason":"access_denied"`) {
				t.Errorf("want an exit code, 403 and access_denied, found %+v", result)
			}
			u.WantNothing(t)
			c.wantKeyStays(t, keyFile)
			c.wantNotRedirected(t, func(url string) []string { return []string{file, url} })
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

// wantNotRedirected checks that the program does not follow redirects: another server could
// send the attached credential to the gateway.
func (c clientProgram) wantNotRedirected(t *testing.T, args func(url string) []string) {
	t.Helper()
	elsewhere := harness.NewUpstream(t, nil)
	// After 307 a client that follows sends a POST again with its body.
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
		redirecting := harness.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/events", status)
		})
		result := c.run(t, args(redirecting.URL+"/events")...)
		if !strings.Contains(result.Stdout, strconv.Itoa(status)) || result.ExitCode == 0 && c.command[0] != "bash" {
			t.Errorf("want an exit code and %d from a redirect, found %+v", status, result)
		}
		elsewhere.WantNothing(t)
	}
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
