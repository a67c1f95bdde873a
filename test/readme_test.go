package test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/refusal"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

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

// TestReadmeConfiguration: the README's table is the struct, row for row.
func TestReadmeConfiguration(t *testing.T) {
	t.Parallel()
	rows, variables := configurationRows(readme(t)), config.Variables()
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

// TestReadmeReasons: whoever meets a reason finds it in the README.
func TestReadmeReasons(t *testing.T) {
	t.Parallel()
	text := readme(t)
	for _, reason := range refusal.Reasons() {
		if !strings.Contains(text, "`"+string(reason)+"`") {
			t.Errorf("want `%s` in the README, found none", reason)
		}
	}
}

// TestReadmeStrippedFields: the README's table is the table of package headers, row
// for row.
func TestReadmeStrippedFields(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	want.WriteString("| what the field would carry | deleted names |\n|---|---|\n")
	for _, group := range headers.Stripped() {
		want.WriteString("| " + group.Meaning + " | `" + strings.Join(group.Names, "`, `") + "` |\n")
	}
	want.WriteString("\n")
	if !strings.Contains(readme(t), want.String()) {
		t.Errorf("want this table in the README, found another or none:\n%s", want.String())
	}
}
