package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// Browser is a running chromium. The test controls it with the DevTools protocol over two
// pipes, one call at a time.
type Browser struct {
	in     io.Writer
	pipe   *os.File
	out    *bufio.Reader // of pipe
	calls  int
	events []devtools // received while a call waited for its response
}

// devtools is a message of the DevTools protocol.
type devtools struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// StartBrowser starts chromium without a window. It ends with the test.
func StartBrowser(t *testing.T) *Browser {
	t.Helper()
	command := exec.Command(LookProgram(t, "chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--hide-scrollbars", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	fromTest, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.ExtraFiles = []*os.File{fromTest, fromBrowser} // descriptors 3 and 4
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = fromTest.Close(), fromBrowser.Close()
	b := &Browser{in: in, pipe: out, out: bufio.NewReaderSize(out, 1<<20)}
	t.Cleanup(func() {
		_ = in.Close() // chromium ends without its pipe
		kill := time.AfterFunc(Timeout, func() { _ = command.Process.Kill() })
		_ = command.Wait() // the exit code says nothing about the page
		kill.Stop()
		_ = out.Close()
	})
	return b
}

// call sends a command and decodes the result, unless result is nil.
func (b *Browser) call(t *testing.T, session, method string, params, result any) {
	t.Helper()
	b.calls++
	text, err := json.Marshal(devtools{ID: b.calls, Session: session, Method: method, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		t.Fatalf("chromium: %s: %v", method, err)
	}
	for {
		switch m := b.read(t, method); {
		case m.ID == 0:
			b.events = append(b.events, m)
		case m.ID != b.calls || m.Error != nil:
			t.Fatalf("chromium: %s: found the response %+v", method, m)
		case result == nil:
			return
		default:
			if err := json.Unmarshal(m.Result, result); err != nil {
				t.Fatalf("chromium: %s: %v in %s", method, err, m.Result)
			}
			return
		}
	}
}

// read returns the next message.
func (b *Browser) read(t *testing.T, waiting string) (m devtools) {
	t.Helper()
	if err := b.pipe.SetReadDeadline(time.Now().Add(Timeout)); err != nil {
		t.Fatal(err)
	}
	text, err := b.out.ReadBytes(0)
	if err == nil {
		err = json.Unmarshal(text[:len(text)-1], &m)
	}
	if err != nil {
		t.Fatalf("chromium: want a message after %s: %v", waiting, err)
	}
	return m
}

// Tab is a page of the browser, 1,280 pixels wide and light unless Resize changes it.
type Tab struct {
	b           *Browser
	target, own string // identifiers
}

// NewTab opens an empty page.
func (b *Browser) NewTab(t *testing.T) *Tab {
	t.Helper()
	var target struct{ TargetID string }
	b.call(t, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call(t, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	tab := &Tab{b, target.TargetID, session.SessionID}
	tab.call(t, "Page.enable", nil, nil)
	tab.Resize(t, 1280, "light")
	return tab
}

func (tab *Tab) call(t *testing.T, method string, params, result any) {
	t.Helper()
	tab.b.call(t, tab.own, method, params, result)
}

// Close closes the page.
func (tab *Tab) Close(t *testing.T) {
	t.Helper()
	tab.b.call(t, "", "Target.closeTarget", map[string]any{"targetId": tab.target}, nil)
}

// Resize sets the width in pixels, and the scheme to light or dark.
func (tab *Tab) Resize(t *testing.T, width int, scheme string) {
	t.Helper()
	tab.call(t, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	tab.call(t, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Open loads a URL and waits for the event load.
func (tab *Tab) Open(t *testing.T, url string) {
	t.Helper()
	tab.b.events = nil
	var result struct{ ErrorText string }
	tab.call(t, "Page.navigate", map[string]any{"url": url}, &result)
	if result.ErrorText != "" {
		t.Fatalf("chromium: %s: %s", url, result.ErrorText)
	}
	loaded := func(m devtools) bool { return m.Method == "Page.loadEventFired" && m.Session == tab.own }
	for found := slices.ContainsFunc(tab.b.events, loaded); !found; {
		found = loaded(tab.b.read(t, url))
	}
}

// Evaluate runs an expression in the page and decodes its value, also that of a promise.
func (tab *Tab) Evaluate(t *testing.T, expression string, value any) {
	t.Helper()
	var found struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	tab.call(t, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &found)
	err := json.Unmarshal(found.Result.Value, value)
	if found.ExceptionDetails != nil {
		err = errors.New(string(found.ExceptionDetails))
	}
	if err != nil {
		t.Fatalf("chromium: %s: %v", expression, err)
	}
}

// Screenshot returns the visible part of the page as PNG.
func (tab *Tab) Screenshot(t *testing.T) []byte {
	t.Helper()
	var image struct{ Data []byte }
	tab.call(t, "Page.captureScreenshot", nil, &image)
	return image.Data
}
