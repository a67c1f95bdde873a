package harness

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Result is the exit code and the output of a process that has ended.
type Result struct {
	ExitCode       int
	Stdout, Stderr string
}

// Run runs the program cmd/NAME to its end.
func Run(t *testing.T, name string, env Env, args ...string) Result {
	t.Helper()
	return RunProgram(t, BinaryPath(t, name), env, args...)
}

// RunProgram runs any program to its end, in a folder of its own. A program that is not
// installed skips the test.
func RunProgram(t *testing.T, program string, env Env, args ...string) Result {
	t.Helper()
	result := RunProgramUnrecorded(t, program, env, args...)
	RecordOutput(filepath.Base(program)+" in "+t.Name(), result.Stdout+"\n"+result.Stderr)
	return result
}

// RunProgramUnrecorded runs a program whose output may contain a credential.
func RunProgramUnrecorded(t *testing.T, program string, env Env, args ...string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	program = LookProgram(t, program)
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir, command.Env = t.TempDir(), env.list()
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = Timeout
	timer := time.AfterFunc(2*Timeout, func() { _ = command.Process.Kill() })
	defer timer.Stop()
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", program, err)
	}
	return Result{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
