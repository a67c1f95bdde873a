package filewatch

import (
	"context"
	"time"
)

// FilesWith is Files with other times than Quiet and Poll.
func FilesWith(ctx context.Context, o Options, quiet, poll time.Duration) error {
	return files(ctx, o, timing{quiet, poll})
}

// Folders is what is watched for one file.
func Folders(name string) []string {
	dirs, _ := resolve(name)
	return dirs
}

// Path is the file that a name stands for.
func Path(name string) string {
	_, path := resolve(name)
	return path
}
