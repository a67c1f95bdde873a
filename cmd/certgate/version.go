package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/certgate/certgate/internal/gateway"
)

// version is set at build time with -ldflags "-X main.version=...". If it is empty,
// the version in the build information is used.
var version = ""

// unknown stands for a part of the build information that the program does not have.
const unknown = "unknown"

// buildInfo describes how the program was built. Its JSON always has every key.
type buildInfo struct {
	Version  string `json:"version"`  // "dev" if the build has no version
	Commit   string `json:"commit"`   // hash, or "unknown" for a build outside of a repository
	Modified bool   `json:"modified"` // whether the working tree had uncommitted changes
	Go       string `json:"go"`
}

// readBuildInfo returns the build information of the running program.
func readBuildInfo() buildInfo {
	info, _ := debug.ReadBuildInfo() // nil without module support
	return newBuildInfo(info, version)
}

// newBuildInfo takes the version from the linker flag or, if that is empty, from the
// build information, which may be nil.
func newBuildInfo(info *debug.BuildInfo, linked string) buildInfo {
	b := buildInfo{Version: linked, Commit: unknown, Go: runtime.Version()}
	if info != nil {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	return b
}

// String returns one line for each part of the build information.
func (b buildInfo) String() string {
	return fmt.Sprintf("certgate %s\ncommit %s\n%s %s/%s", b.Version, b.commit(), b.Go, runtime.GOOS, runtime.GOARCH)
}

// commit returns the commit, marked if the working tree had uncommitted changes.
func (b buildInfo) commit() string {
	if b.Modified {
		return b.Commit + " (modified)"
	}
	return b.Commit
}

// forGateway returns the build information for the metrics of the gateway.
func (b buildInfo) forGateway() gateway.Build {
	return gateway.Build{Version: b.Version, Commit: b.commit(), Go: b.Go}
}

func (b buildInfo) print(w io.Writer) error {
	_, err := fmt.Fprintln(w, b)
	return err
}

type versionCommand struct {
	JSON bool `help:"Print JSON." name:"json"`
}

// Help is the long text of certgate version --help.
func (versionCommand) Help() string {
	return `Prints the version, the commit from which the program was built, with "(modified)" if
the working tree had uncommitted changes, and the version of Go. They are read from
the build information; the commit is "unknown" if the program was not built in a Git
repository.

Example:

  certgate version --json`
}

// Run prints the build information.
func (c versionCommand) Run(env environment) error {
	b := readBuildInfo()
	if c.JSON {
		return printJSON(env.stdout, b)
	}
	return b.print(env.stdout)
}
