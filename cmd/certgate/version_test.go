package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestNewBuildInfo(t *testing.T) {
	t.Parallel()
	info := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "8df31f1"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	clean := debug.BuildSetting{Key: "vcs.modified", Value: "false"}
	for _, test := range []struct {
		name   string
		info   *debug.BuildInfo
		linked string
		want   buildInfo
	}{
		{"release", info("v1.2.3", revision, clean), "", buildInfo{"v1.2.3", "8df31f1", false, runtime.Version()}},
		{"uncommitted changes", info("v1.2.3+dirty", revision, modified), "", buildInfo{"v1.2.3+dirty", "8df31f1", true, runtime.Version()}},
		{"version from the linker", info("v1.2.3", revision), "1.2.4", buildInfo{"1.2.4", "8df31f1", false, runtime.Version()}},
		{"no repository", info("(devel)"), "", buildInfo{"dev", "unknown", false, runtime.Version()}},
		{"no build information", nil, "", buildInfo{"dev", "unknown", false, runtime.Version()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if found := newBuildInfo(test.info, test.linked); found != test.want {
				t.Errorf("want %+v, found %+v", test.want, found)
			}
		})
	}
}

func TestVersionCommand(t *testing.T) {
	t.Parallel()
	want := readBuildInfo()
	code, stdout, stderr := call(t.Context(), nil, "version")
	if code != exitOK || stdout != want.String()+"\n" || stderr != "" {
		t.Errorf("want %q, found exit code %d, %q and %q", want, code, stdout, stderr)
	}
	code, stdout, stderr = call(t.Context(), nil, "version", "--json")
	var found buildInfo
	if err := json.Unmarshal([]byte(stdout), &found); code != exitOK || err != nil || found != want || stderr != "" {
		t.Errorf("want %+v, found exit code %d, %+v, %v and %q", want, code, found, err, stderr)
	}
}

func TestBuildInfoString(t *testing.T) {
	t.Parallel()
	want := "certgate v1.2.3\ncommit 8df31f1 (modified)\ngo1.26 " + runtime.GOOS + "/" + runtime.GOARCH
	if found := (buildInfo{"v1.2.3", "8df31f1", true, "go1.26"}).String(); found != want {
		t.Errorf("want %q, found %q", want, found)
	}
}
