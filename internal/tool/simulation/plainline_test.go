package simulation_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/tool/simulation"
)

// completeLine returns a line of the gateway in which every text of an entry is present.
func completeLine(tb testing.TB) string {
	tb.Helper()
	rec := &audit.Record{Status: 200}
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			f.SetString(strings.ToLower(v.Type().Field(i).Name))
		}
	}
	return newGatewayLog().line(*rec)
}

// TestParsePlain checks that lines of the gateway are parsed without encoding/json, with every
// field.
func TestParsePlain(t *testing.T) {
	t.Parallel()
	e, ok := simulation.ParsePlain([]byte(completeLine(t)))
	if !ok {
		t.Fatalf("want a plain line, found another: %s", completeLine(t))
	}
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("want a value of %s, found none", v.Type().Field(i).Name)
		}
	}
}

// FuzzParsePlain checks that encoding/json parses every line that ParsePlain accepts, with the
// same result.
func FuzzParsePlain(f *testing.F) {
	f.Add(completeLine(f))
	for _, line := range []string{
		`{"client":"a","client":"b","status":429,"x":true,"y":1.50}`, `{"Client":"a"}`, `{"client":7}`, `{"status":"a"}`, `{"status":1.5}`,
		`{"status":01}`, `{"x":1e9}`, `{"x":-1}`, `{"x":.5}`, `{"x":1.}`, `{"x":null}`, `{"x":{}}`, `{"x":1}}`, `{"x":1,}`, `{}`, `{"x":"\""}`, `{"status":99999999999999999999}`,
		`{"x":"` + "\x80" + `"}`, `{"x" :1}`, `{"x":1 }`, `{"":""}`, `{"x":""`, `{"x"`, `{"x":`, `{`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		found, ok := simulation.ParsePlain([]byte(line))
		if !ok {
			return
		}
		var want simulation.Entry
		if err := json.Unmarshal([]byte(line), &want); err != nil || found != want {
			t.Fatalf("ParsePlain(%q) = %+v, encoding/json: %+v, %v", line, found, want, err)
		}
	})
}

// BenchmarkReplay measures one request.
func BenchmarkReplay(b *testing.B) {
	rules := parse(b, `rules: [{name: a, clients: [mail], allow: ["GET /events/{id}"]}]`)
	line := newGatewayLog().line(audit.Record{
		RequestID: "8d3b2e89c10503edfeb563995c2e4991", Client: "mail", Auth: "bearer", Method: "GET", Path: "/events/01a20097-e638-74f5-bd10-61111c7891ea",
		Rule: "apps", KeyID: "d03e0bc1ab472855", Serial: "eb43eaee56b8c7791b21f7f4f6ff9642", Source: "127.0.0.1", Decision: audit.Allowed, Status: 200,
	}) + "\n"
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	p := simulation.NewReplay(rules)
	if err := p.Read(strings.NewReader(strings.Repeat(line, b.N)), proceed); err != nil {
		b.Fatal(err)
	}
	if p.Report().Allowed != b.N {
		b.Fatalf("found %+v", p.Report())
	}
}
