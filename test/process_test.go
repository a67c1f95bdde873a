package test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output is what a process has written so far. Whoever waits for a line is
// woken by each write, so nobody polls.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed by the next write
	ended   bool
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	o.wake()
	return n, err
}

// wake wants the lock held.
func (o *output) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.wake()
}

func (o *output) String() string {
	text, _, _ := o.since(0)
	return text
}

// length is a place to look for lines from. It may be in the middle of one.
func (o *output) length() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Len()
}

// since is what was written behind the first bytes.
func (o *output) since(seen int) (text string, changed <-chan struct{}, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text.Bytes()[seen:]), o.changed, o.ended
}

// line waits for the first whole line that match accepts.
func (o *output) line(match func(line string) bool) (string, error) { return o.lineSince(0, match) }

// lineSince is line behind the first bytes.
func (o *output) lineSince(seen int, match func(line string) bool) (string, error) {
	deadline := time.After(patience)
	for {
		text, changed, ended := o.since(seen)
		for {
			line, rest, whole := strings.Cut(text, "\n")
			if !whole {
				break
			}
			if match(line) {
				return line, nil
			}
			seen += len(line) + 1
			text = rest
		}
		if ended {
			return "", errors.New("the process has ended without the line")
		}
		select {
		case <-changed:
		case <-deadline:
			return "", errors.New("no such line in time")
		}
	}
}

// terminate is how an orchestrator stops a process.
const terminate = syscall.SIGTERM

// environment is all that a process gets beside what it needs to run at all.
type environment map[string]string

// with is a copy in which some variables are set.
func (e environment) with(more environment) environment {
	all := maps.Clone(e)
	if all == nil {
		all = environment{}
	}
	maps.Copy(all, more)
	return all
}

// without is a copy in which some variables are not set.
func (e environment) without(names ...string) environment {
	all := maps.Clone(e)
	for _, name := range names {
		delete(all, name)
	}
	return all
}

func (e environment) list() []string {
	all := environment{"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"), "TMPDIR": os.TempDir()}.with(e)
	if raceDetector {
		all["GORACE"] = "atexit_sleep_ms=0" // not a second for each process
	}
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// process is a running binary.
type process struct {
	name           string
	command        *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
	stopped        bool // the test has seen its end
}

// start runs cmd/NAME. When the test ends, a process that still runs is stopped
// by SIGTERM and must exit with 0; a test that failed shows what it has said.
func start(t *testing.T, name string, env environment, args ...string) *process {
	t.Helper()
	// Not the test's context: it would kill before the clean end.
	return launch(t, name, env, exec.Command(run.binary(t, name), args...))
}

// launch is start for a command that is more than a binary with arguments.
func launch(t *testing.T, name string, env environment, command *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, command: command, stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	p.command.Dir, p.command.Env = t.TempDir(), env.list()
	p.command.Stdout = p.stdout
	if p.command.Stderr == nil {
		p.command.Stderr = p.stderr
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait() // the exit code tells
		p.stdout.end()
		p.stderr.end()
		close(p.ended)
	}()
	t.Cleanup(func() { p.cleanUp(t) })
	return p
}

func (p *process) cleanUp(t *testing.T) {
	t.Helper()
	if !p.stopped {
		p.stop(t, terminate)
	}
	run.secrets.said(p.name+" in "+t.Name(), p.stdout.String()+"\n"+p.stderr.String())
	if strings.Contains(p.stderr.String(), "DATA RACE") || strings.Contains(p.stderr.String(), "panic") {
		t.Errorf("%s: a race or a panic", p.name)
	}
	if t.Failed() {
		t.Logf("%s has said\n%s%s", p.name, p.stdout, p.stderr)
	}
}

// stop sends the signal and wants exit code 0.
func (p *process) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	p.signal(t, signal)
	p.wantExit(t, 0)
}

func (p *process) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
}

// wantExit waits for the end of the process, and kills it when there is none.
func (p *process) wantExit(t *testing.T, code int) {
	t.Helper()
	p.stopped = true
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Errorf("%s: want an end, found none", p.name)
		_ = p.command.Process.Kill()
		<-p.ended
	}
	if found := p.command.ProcessState.ExitCode(); found != code {
		t.Errorf("%s: want exit code %d, found %d", p.name, code, found)
	}
}

// finished is what a process that ran to its end has left behind.
type finished struct {
	code           int
	stdout, stderr string
}

// finish runs cmd/NAME to its end.
func finish(t *testing.T, name string, env environment, args ...string) finished {
	t.Helper()
	return runToEnd(t, run.binary(t, name), env, args...)
}

// runToEnd runs any program in a folder of its own.
func runToEnd(t *testing.T, program string, env environment, args ...string) finished {
	t.Helper()
	result := runUnheard(t, program, env, args...)
	run.secrets.said(filepath.Base(program)+" in "+t.Name(), result.stdout+"\n"+result.stderr)
	return result
}

// runUnheard is runToEnd for a program whose task it is to say a credential.
func runUnheard(t *testing.T, program string, env environment, args ...string) finished {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir, command.Env = t.TempDir(), env.list()
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = patience
	timer := time.AfterFunc(2*patience, func() { _ = command.Process.Kill() })
	defer timer.Stop()
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", program, err)
	}
	return finished{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
