package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

func TestFiles(t *testing.T) {
	environ := required(t)
	dir := t.TempDir()
	for _, name := range []string{"AUTH_PUBLIC_KEY", "ACCESS_RULES"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(environ[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		delete(environ, name)
		environ[name+"_FILE"] = file
	}
	c := load(t, environ)
	if len(c.Keyring.Anchors()) != 1 || c.Rules.RuleCount != 1 {
		t.Errorf("%d anchors and %d rules, want one of each", len(c.Keyring.Anchors()), c.Rules.RuleCount)
	}
	if c.KeyringFile != environ["AUTH_PUBLIC_KEY_FILE"] || c.RulesFile != environ["ACCESS_RULES_FILE"] {
		t.Errorf("files %q and %q, want those that were read", c.KeyringFile, c.RulesFile)
	}
}

// content reads a file as package filewatch does.
func content(name string) regularfile.File {
	read, err := regularfile.Read(name, regularfile.MaxBytes)
	return regularfile.File{Name: name, Text: read.Text, Err: err}
}

func contents(names ...string) (files []regularfile.File) {
	for _, name := range names {
		files = append(files, content(name))
	}
	return files
}

// TestParseChangedFiles parses files as the gateway does after a change.
func TestParseChangedFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key := required(t)["AUTH_PUBLIC_KEY"]
	keys, list := write("keys", key), write("rules", goodRules)
	if ring, err := config.ParseKeyring(content(keys), 2048); err != nil || len(ring.Anchors()) != 1 {
		t.Errorf("keyring: %v, want one anchor", err)
	}
	if document, err := config.ParseRules(content(list), identity.OU); err != nil || document.RuleCount != 1 {
		t.Errorf("rules: %v, want one", err)
	}
	missing := filepath.Join(dir, "missing")
	_, bigErr := config.ParseKeyring(content(write("big", strings.Repeat("x", 1<<20+1))), 2048)
	_, keyErr := config.ParseKeyring(content(list), 2048)
	_, noKeyErr := config.ParseKeyring(content(missing), 2048)
	_, rulesErr := config.ParseRules(content(keys), identity.OU)
	_, noRulesErr := config.ParseRules(content(missing), identity.OU)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{keyErr, "want PEM"},
		{bigErr, "more than 1048576 bytes"},
		{noKeyErr, "no such file or directory"},
		{rulesErr, "found PEM, want YAML rules"},
		{noRulesErr, "no such file or directory"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("error %v, want %q", tt.err, tt.want)
		}
	}
}
