package audit_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
)

// logField is a row of the table of log fields, without its meaning.
type logField struct{ Name, Type, Present string }

var fieldRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\w+) \\| (.+?) \\| .+ \\|$")

// documentedFields returns the rows of the table of log fields in the reference.
func documentedFields(t *testing.T) (fields []logField) {
	t.Helper()
	text, err := os.ReadFile("../../cmd/certgate/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Log fields\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range fieldRow.FindAllStringSubmatch(section, -1) {
		fields = append(fields, logField{row[1], row[2], row[3]})
	}
	return fields
}

// completeRecord returns a record in which every field has a value.
func completeRecord(t *testing.T) *audit.Record {
	t.Helper()
	rec := &audit.Record{
		Time: arrival, SharedKey: true, Surface: audit.Verify,
		Decision: audit.Refused, Reason: refusal.AccessDenied, WouldRefuse: refusal.ProofMissing,
		Status: 403, Duration: time.Second, BytesIn: 1, BytesOut: 1,
	}
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String && f.Len() == 0 {
			f.SetString("x")
		}
		if v.Field(i).IsZero() {
			t.Fatalf("want a value of %s", v.Type().Field(i).Name)
		}
	}
	return rec
}

// recordedFields returns the fields of the line of a record in their order, and their
// JSON types.
func recordedFields(t *testing.T, rec *audit.Record) (names []string, types map[string]string) {
	t.Helper()
	b := newBench(zapcore.InfoLevel, "json")
	b.Record(rec)
	d := json.NewDecoder(strings.NewReader(b.log.String()))
	types = map[string]string{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		key, isKey := name.(string)
		if !isKey { // the opening brace
			continue
		}
		value, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, key)
		switch value.(type) {
		case string:
			types[key] = "string"
		case float64:
			types[key] = "number"
		case bool:
			types[key] = "boolean"
		}
	}
	return names, types
}

// TestDocumentedFields compares the table of log fields in the reference with the lines
// of a complete and of an empty record: names, order, types, and the fields that are
// always present.
func TestDocumentedFields(t *testing.T) {
	names, types := recordedFields(t, completeRecord(t))
	always, _ := recordedFields(t, &audit.Record{Decision: audit.Allowed})
	var want, got []logField
	for _, f := range documentedFields(t) {
		if f.Present != "always" {
			f.Present = "sometimes"
		}
		want = append(want, f)
	}
	for _, name := range names {
		present := "sometimes"
		if slices.Contains(always, name) {
			present = "always"
		}
		got = append(got, logField{name, types[name], present})
	}
	if !slices.Equal(got, want) {
		t.Errorf("log fields %v, want those in the document %v", got, want)
	}
}
