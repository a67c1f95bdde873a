package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/certgate/certgate/test/harness"
)

// TestFailedStartAtATerminal checks that errors are text, not JSON, at a terminal.
func TestFailedStartAtATerminal(t *testing.T) {
	t.Parallel()
	primary, terminal := openTerminal(t)
	command := exec.Command(harness.BinaryPath(t, "certgate"), "serve")
	command.Stderr = terminal
	p := harness.StartCommand(t, "certgate", nil, command)
	p.WantExit(t, 2)
	line, err := bufio.NewReader(primary).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "certgate: the configuration is invalid:" {
		t.Errorf("want plain text, found %q, %v", line, err)
	}
}

// openTerminal returns the two ends of a new pseudoterminal (ptmx(4)).
func openTerminal(t *testing.T) (primary, terminal *os.File) {
	t.Helper()
	primary, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = primary.Close() })
	var number, unlock int32
	ioctl(t, primary, syscall.TIOCSPTLCK, &unlock)
	ioctl(t, primary, syscall.TIOCGPTN, &number)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return primary, terminal
}

func ioctl(t *testing.T, f *os.File, request uintptr, value *int32) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
		t.Fatal(errno)
	}
}
