package main

import (
	"io"

	envvars "github.com/caarlos0/env/v11"
)

// environment is everything outside of its arguments that a command uses.
type environment struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// variables returns the environment variables by name.
func (env environment) variables() map[string]string { return envvars.ToMap(env.environ) }
