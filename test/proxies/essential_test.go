package proxies

import (
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// essential matches a comment that marks the next line of a configuration, or a word in
// it, as essential, and that contains the name of the flaw without it.
var essential = regexp.MustCompile(`(?m)^[ \t]*# Essential \((\w+)(?:: ([^)]+))?\):.*\n(?:[ \t]*#.*\n)*(.+)\n`)

// mark is a line, or a word in a line, that a configuration marks as essential.
type mark struct {
	text       string // the whole configuration
	flaw, gone string // gone is the line or the word
	from, to   int    // its place in the configuration
}

// without returns the configuration without the mark, and any other text as it is.
func (m mark) without(text string) string {
	if text != m.text {
		return text
	}
	return text[:m.from] + text[m.to:]
}

func marksOf(t *testing.T, file, text string) []mark {
	t.Helper()
	var marks []mark
	for _, at := range essential.FindAllStringSubmatchIndex(text, -1) {
		m := mark{text: text, flaw: text[at[2]:at[3]], from: at[6], to: at[7]}
		if at[4] >= 0 {
			word := text[at[4]:at[5]]
			m.from += strings.Index(text[at[6]:at[7]], word)
			m.to = m.from + len(word)
		}
		m.gone = strings.TrimSpace(text[m.from:m.to])
		marks = append(marks, m)
	}
	if n := strings.Count(text, "# Essential"); n != len(marks) || n == 0 {
		t.Fatalf("%s: want what is essential marked in one way, found %d of %d", file, len(marks), n)
	}
	return marks
}

// TestEssentialLines removes each line that a configuration marks as essential, and expects
// the flaw that the line prevents. This shows that the line is needed, and that the checks of
// the other tests detect the flaw.
func TestEssentialLines(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	edits := mutualFiles()
	for _, file := range tlsFiles() {
		edits[file] = strings.NewReplacer()
	}
	for file, optional := range edits {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			f := newProxiedGateway(t, c, file)
			for _, m := range marksOf(t, file, string(harness.ReadFile(t, proxyFolder, file))) {
				t.Run(m.flaw+" "+m.gone, func(t *testing.T) {
					f.start(t, file, func(text string) string { return optional.Replace(m.without(text)) })
					if f.flaws()[m.flaw](t) == "" {
						t.Errorf("want a flaw without %q, found none", m.gone)
					}
					f.gateway.Upstream.Take()
				})
			}
		})
	}
}
