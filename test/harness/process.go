package harness

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Terminate is the signal with which an orchestrator stops a process.
const Terminate = syscall.SIGTERM

// Process is a running program.
type Process struct {
	name           string
	Command        *exec.Cmd
	Stdout, Stderr *output
	Exited         chan struct{}
	ExitSeen       bool // WantExit has returned
}

// Start runs the program cmd/NAME. When the test ends, a process that still runs is stopped
// by SIGTERM and must exit with 0. A failed test prints its output.
func Start(t *testing.T, name string, env Env, args ...string) *Process {
	t.Helper()
	// The command does not use the test's context, which would kill the process before
	// cleanUp can stop it.
	return StartCommand(t, name, env, exec.Command(BinaryPath(t, name), args...))
}

// StartCommand starts a prepared command with the rules of [Start]. A test that sets
// command.Stdout gets no output in the Stdout of the Process. A test that sets command.Stderr
// may copy its output to the Stderr of the Process, and must then close that.
func StartCommand(t *testing.T, name string, env Env, command *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, Command: command, Stdout: newOutput(), Stderr: newOutput(), Exited: make(chan struct{})}
	p.Command.Dir, p.Command.Env = t.TempDir(), env.list()
	if p.Command.Stdout == nil {
		p.Command.Stdout = p.Stdout
	}
	ownStderr := p.Command.Stderr != nil
	if !ownStderr {
		p.Command.Stderr = p.Stderr
	}
	if err := p.Command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Command.Wait() // WantExit checks the exit code
		p.Stdout.Close()
		if !ownStderr { // the test may still copy the rest of it
			p.Stderr.Close()
		}
		close(p.Exited)
	}()
	t.Cleanup(func() { p.cleanUp(t) })
	return p
}

func (p *Process) cleanUp(t *testing.T) {
	t.Helper()
	if !p.ExitSeen {
		p.Stop(t, Terminate)
	}
	RecordOutput(p.name+" in "+t.Name(), p.Stdout.String()+"\n"+p.Stderr.String())
	if strings.Contains(p.Stderr.String(), "DATA RACE") || strings.Contains(p.Stderr.String(), "panic") {
		t.Errorf("%s: want no data race and no panic in the output, found one", p.name)
	}
	if t.Failed() {
		t.Logf("output of %s:\n%s%s", p.name, p.Stdout, p.Stderr)
	}
}

// Stop sends the signal and expects exit code 0.
func (p *Process) Stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	p.Signal(t, signal)
	p.WantExit(t, 0)
}

// Signal sends a signal to the process.
func (p *Process) Signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.Command.Process.Signal(signal); err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
}

// WantExit waits for the end of the process and checks the exit code. It kills a process
// that does not end.
func (p *Process) WantExit(t *testing.T, code int) {
	t.Helper()
	p.ExitSeen = true
	select {
	case <-p.Exited:
	case <-time.After(Timeout):
		t.Errorf("%s: want the process to end in time, found it running", p.name)
		_ = p.Command.Process.Kill()
		<-p.Exited
	}
	if found := p.Command.ProcessState.ExitCode(); found != code {
		t.Errorf("%s: want exit code %d, found %d", p.name, code, found)
	}
}
