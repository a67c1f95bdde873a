package proxies

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// proxyRow is a row of the README's table of proxies.
type proxyRow struct {
	version string // of the program, MAJOR.MINOR, or "not run here"
	file    string // in proxyFolder
	line    string // of the file, which must not be missing
	test    string
}

var proxyRowPattern = regexp.MustCompile("(?m)^\\| [^|]+ \\| ([^|]+) \\| \\[`([^`]+)`\\]\\(([^)/]+)\\) \\| `([^`]+)` \\| `([^`]+)` \\|$")

func proxyRows(t *testing.T) []proxyRow {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(proxyFolder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	var rows []proxyRow
	for _, found := range proxyRowPattern.FindAllStringSubmatch(text, -1) {
		if found[2] != found[3] {
			t.Errorf("%s: want a link to the file itself, found one to %s", found[2], found[3])
		}
		rows = append(rows, proxyRow{found[1], found[2], found[4], found[5]})
	}
	return rows
}

// TestProxyTable checks that the README's tables list every configuration once, with a
// line that the file contains and a test that exists and uses the file.
func TestProxyTable(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(proxyFolder)
	if err != nil {
		t.Fatal(err)
	}
	var files, listed []string
	for _, entry := range entries {
		if entry.Name() != "README.md" && filepath.Ext(entry.Name()) != ".go" {
			files = append(files, entry.Name())
		}
	}
	sources := testSources(t)
	for _, row := range proxyRows(t) {
		listed = append(listed, row.file)
		text, err := os.ReadFile(filepath.Join(proxyFolder, row.file))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(text), row.line) {
			t.Errorf("%s: want the line %q, found none", row.file, row.line)
		}
		if notRun := strings.Contains(string(text), "NOT RUN HERE"); notRun != (row.version == "not run here") {
			t.Errorf("%s: want the same statement in file and table on whether it is run, found different ones", row.file)
		}
		if !strings.Contains(sources, "func "+row.test+"(t *testing.T)") || !strings.Contains(sources, `"`+row.file+`"`) {
			t.Errorf("%s: want a test %s and the file in use, found one missing", row.file, row.test)
		}
	}
	slices.Sort(listed)
	if !slices.Equal(files, listed) {
		t.Errorf("want the table to list %q, found %q", files, listed)
	}
}

// testSources returns the text of all test files in this folder.
func testSources(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	inE2E, err := filepath.Glob("../e2e/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, inE2E...)
	var all strings.Builder
	for _, name := range names {
		all.Write(harness.ReadFile(t, name))
	}
	return all.String()
}

// TestProxyVersions checks that CI runs the versions that the table names.
func TestProxyVersions(t *testing.T) {
	t.Parallel()
	flags := map[string]string{"nginx": "-v", "haproxy": "-v", "caddy": "version", "apache": "-v", "traefik": "version", "envoy": "--version"}
	number := regexp.MustCompile(`\d+\.\d+`)
	for _, row := range proxyRows(t) {
		program, _, _ := strings.Cut(row.file, "-")
		if row.version == "not run here" {
			continue
		}
		t.Run(row.file, func(t *testing.T) {
			output, err := exec.CommandContext(t.Context(), harness.LookProgram(t, proxyCommands()[program].name), flags[program]).CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			if found := number.FindString(string(output)); found != row.version && os.Getenv("CI") == "true" {
				t.Errorf("want version %s, found %s", row.version, found)
			}
		})
	}
}
