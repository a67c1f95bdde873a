package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"certgate": main})
}

// TestScripts runs the scripts of testdata/script with the real program and real keys. With
// -short it runs the quick start only. A script writes certificates and keys to files only,
// because the test log contains its standard output.
func TestScripts(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("want scripts, found %q and %v", files, err)
	}
	if testing.Short() {
		files = []string{filepath.Join("testdata", "script", "quickstart.txtar")}
		t.Logf("-short: of the scripts only %s runs", files[0])
	}
	testscript.Run(t, testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"mode":  mode,
		},
	})
}

// exits CODE PROGRAM ARGUMENT... runs a program and checks its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [argument...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("want exit code %d, found %d", want, code)
	}
}

// mode PERMISSIONS FILE... checks that the files are regular and have these permissions,
// in octal.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode permissions file...")
	}
	for _, name := range args[1:] {
		info, err := os.Lstat(ts.MkAbs(name))
		ts.Check(err)
		if found := fmt.Sprintf("%o", info.Mode().Perm()); found != args[0] || !info.Mode().IsRegular() {
			ts.Fatalf("%s: want a file of mode %s, found %s", name, args[0], info.Mode())
		}
	}
}
