package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"plain", `O=Example\, Inc.,OU=mail`, `O=Example\, Inc.,OU=mail`},
		{"letters of other scripts", "Müller 東京", "Müller 東京"},
		{"empty", "", ""},
		{"quotes", `it's "mail"`, `it's "mail"`},
		{"escape sequence", "\x1b[31mred", `\x1b[31mred`},
		{"one-byte escape sequence", "\u009b31m", `\u009b31m`},
		{"line feed", "a\nb", `a\nb`},
		{"tab, a column separator of the table", "a\tb", `a\tb`},
		{"right-to-left override", "a\u202eb", `a\u202eb`},
		{"invisible", "a\u200bb", `a\u200bb`},
		{"delete", "a\x7f", `a\x7f`},
		{"invalid UTF-8", "a\xffb", `a\xffb`},
		{"a literal replacement character", "\ufffd", "\ufffd"},
		{"NUL", "\x00", `\x00`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := printable(test.text); got != test.want {
				t.Errorf("want %q, found %q", test.want, got)
			}
		})
	}
}

func TestPrintableLines(t *testing.T) {
	t.Parallel()
	if got, want := printableLines("one\x07\ntwo\r\n"), "one\\a\ntwo\\r\n"; got != want {
		t.Errorf("want %q, found %q", want, got)
	}
}

// TestPrintJSON checks that the JSON of any text has printable characters only and decodes
// to the same text. It is no fuzz target, because go test -fuzz would compile every
// dependency of the program again.
func TestPrintJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "mail", "\x1b[31m", "\u009b\u007f", "\u202e", "😀\U000e0041", "<&>", "\"\\", "\xff\x00", "東京"} {
		if fault := printJSONFault(text); fault != "" {
			t.Errorf("%q: %s", text, fault)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		if fault := printJSONFault(text); fault != "" {
			t.Fatal(fault)
		}
	})
}

// printJSONFault returns what is wrong with the JSON of the text, or "".
func printJSONFault(text string) string {
	var b bytes.Buffer
	if err := printJSON(&b, map[string]string{"text": text}); err != nil {
		return err.Error()
	}
	for _, r := range b.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			return fmt.Sprintf("want printable characters, found %q", r)
		}
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		return fmt.Sprintf("%q: %v", b.String(), err)
	}
	if want := string([]rune(text)); back["text"] != want {
		return fmt.Sprintf("want %q, found %q", want, back["text"])
	}
	return ""
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 keys", 1: "1 key", 2: "2 keys"} {
		if got := count(n, "key"); got != want {
			t.Errorf("want %q, found %q", want, got)
		}
	}
}
