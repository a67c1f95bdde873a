package agent

import (
	"context"
	"net"
	"net/url"

	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// Check runs the periodic check, which otherwise runs every minute.
func (a *Agent) Check() { a.reloader.check() }

// DisableWatch turns the file watch off, so that the test decides when the files are
// read. It is called before Run.
func (a *Agent) DisableWatch() {
	a.reloader.watch = func(ctx context.Context, _ filewatch.Options) error {
		<-ctx.Done()
		return nil
	}
}

// FilesChanged reads the files, as the file watch does after a change.
func (a *Agent) FilesChanged() { a.reloader.update(a.readFiles(false)) }

// ReloadNow reads the files, as the file watch does after Reload.
func (a *Agent) ReloadNow() { a.reloader.update(a.readFiles(true)) }

func (a *Agent) readFiles(requested bool) filewatch.Result {
	return filewatch.Result{Changed: []regularfile.File{readFile(a.options.CertFile), readFile(a.options.KeyFile)}, Requested: requested}
}

// ReasonOf returns the reason of the refusal for an error of forwarding.
func ReasonOf(err error, connected bool) string { return refusalOf(err, connected).reason }

// TargetURL returns the URL to which an agent with the target forwards a request.
func TargetURL(target *url.URL, raw string) *url.URL {
	return (&Agent{options: Options{Target: target}}).targetURL(raw)
}

// IsOwnAddress reports whether the target is the address of the agent's listener.
func IsOwnAddress(target *url.URL, own net.Addr, names ...string) bool {
	return isOwnAddress(target, own, names)
}
