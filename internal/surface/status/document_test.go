package status

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fieldsOf adds the path of each field of a type to found, with the type in JSON. A list
// adds [] to its name.
func fieldsOf(t reflect.Type, path string, found map[string]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		field, kind := path+name, f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.Slice {
			field, kind = field+"[]", kind.Elem()
		}
		if kind.Kind() == reflect.Struct && kind != reflect.TypeFor[time.Time]() {
			fieldsOf(kind, field+".", found)
			continue
		}
		found[field] = typeName(kind)
		if strings.HasPrefix(options, "omit") {
			found[field] += ", optional"
		}
	}
}

// typeName returns the name of a type in the reference.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.String:
		return "string"
	default:
		return "number"
	}
}

// TestDocumentedFields compares the table of fields in the reference with the JSON.
func TestDocumentedFields(t *testing.T) {
	text, err := os.ReadFile("../../../cmd/certgate/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Status fields\n")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_0-9.\\[\\]]+)` \\| ([a-z, ]+) \\| .+ \\|$").FindAllStringSubmatch(section, -1) {
		documented[row[1]] = row[2]
	}
	found := map[string]string{}
	fieldsOf(reflect.TypeFor[Status](), "", found)
	if diff := cmp.Diff(documented, found); diff != "" {
		t.Errorf("fields (-documented +found):\n%s", diff)
	}
}
