package filewatch

import (
	"context"
	"time"
)

// FilesWith calls Files with other values of Quiet and Poll.
func FilesWith(ctx context.Context, o Options, quiet, poll time.Duration) error {
	return files(ctx, o, timing{quiet, poll})
}

// Folders returns the folders that are watched for one file.
func Folders(name string) []string {
	dirs, _ := resolve(name)
	return dirs
}

// Path returns the path of the file that a name refers to.
func Path(name string) string {
	_, path := resolve(name)
	return path
}
