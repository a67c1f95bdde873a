package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

var (
	heading     = regexp.MustCompile(`^#+ `)
	variableRow = regexp.MustCompile("^\\| *`([A-Z_]+)` *\\|")
)

// configurationRows are the rows of the tables under a heading with
// "Configuration": name and default.
func configurationRows(text string) [][2]string {
	var rows [][2]string
	inside := false
	for line := range strings.Lines(text) {
		if heading.MatchString(line) {
			inside = strings.Contains(line, "Configuration")
		}
		if inside && variableRow.MatchString(line) {
			cells := strings.Split(line, "|")
			unquoted := func(i int) string { return strings.Trim(cells[i], " `\n") }
			rows = append(rows, [2]string{unquoted(1), unquoted(2)})
		}
	}
	return rows
}

// TestDocumentedSettings compares the documented table of settings with the configuration
// struct, row by row.
func TestDocumentedSettings(t *testing.T) {
	t.Parallel()
	rows, variables := configurationRows(harness.Documents(t)), config.Variables()
	for i := range max(len(rows), len(variables)) {
		var found, want [2]string
		if i < len(rows) {
			found = rows[i]
		}
		if i < len(variables) {
			want = [2]string{variables[i].Name, variables[i].Default}
		}
		if found != want {
			t.Errorf("row %d: want %q, found %q", i+1, want, found)
		}
	}
}

// TestDocumentedReasons checks that the documents list every reason.
func TestDocumentedReasons(t *testing.T) {
	t.Parallel()
	text := harness.Documents(t)
	for _, reason := range refusal.Reasons() {
		if !strings.Contains(text, "`"+string(reason)+"`") {
			t.Errorf("want `%s` in the documents, found none", reason)
		}
	}
}

// TestDocumentedStrippedFields compares the documented table of stripped fields with
// package headers, row by row.
func TestDocumentedStrippedFields(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	want.WriteString("| what the field would carry | deleted names |\n|---|---|\n")
	for _, group := range headers.Stripped() {
		want.WriteString("| " + group.Meaning + " | `" + strings.Join(group.Names, "`, `") + "` |\n")
	}
	want.WriteString("\n")
	if !strings.Contains(harness.Documents(t), want.String()) {
		t.Errorf("want this table in the documents, found another or none:\n%s", want.String())
	}
}

// TestDocumentLinks checks that every relative link in the documents leads to a file
// and, where it names one, to a heading of that file.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for _, file := range harness.DocumentFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			links++
			path, anchor, _ := strings.Cut(found[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: want a file for the link %s, found %v", file, found[1], err)
				continue
			}
			if anchor != "" && !hasHeading(t, target, anchor) {
				t.Errorf("%s: want a heading for the link %s, found none", file, found[1])
			}
		}
	}
	if links == 0 {
		t.Error("want links in the documents, found none")
	}
}

// hasHeading reports whether a document has a heading with this anchor, as GitHub forms it.
func hasHeading(t *testing.T, file, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dropped := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	isCode := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "```") {
			isCode = !isCode
		}
		title, isHeading := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if isCode || !isHeading || !strings.HasPrefix(line, "#") {
			continue
		}
		slug := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
		if slug == anchor {
			return true
		}
	}
	return false
}

// TestReadmeIsShort checks that the README stays one page of what, why and how to start.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	for file, most := range map[string]int{"../../README.md": 220, "../../ARCHITECTURE.md": 200} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > most {
			t.Errorf("%s: want at most %d lines, found %d", file, most, n)
		}
	}
}
