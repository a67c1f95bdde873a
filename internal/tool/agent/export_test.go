package agent

import (
	"context"
	"net/url"

	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// Look does what the agent does every minute.
func (a *Agent) Look() { a.keeper.look() }

// Unwatch leaves it to the test when the files are read. It is called before Run.
func (a *Agent) Unwatch() {
	a.keeper.watch = func(ctx context.Context, _ filewatch.Options) error {
		<-ctx.Done()
		return nil
	}
}

// Reread does what the agent does when its files have changed.
func (a *Agent) Reread() { a.keeper.take(a.files(false)) }

// ReloadNow does what the agent does after Reload, whether or not a file has changed.
func (a *Agent) ReloadNow() { a.keeper.take(a.files(true)) }

func (a *Agent) files(asked bool) filewatch.Look {
	return filewatch.Look{Changed: []regularfile.File{read(a.options.CertFile), read(a.options.KeyFile)}, Asked: asked}
}

// ReasonOf is the reason of an answer to an error of sending.
func ReasonOf(err error, connected bool) string { return refusalOf(err, connected).reason }

// URLOf is where the agent of a target sends a request with the request target.
func URLOf(target *url.URL, raw string) *url.URL {
	return (&Agent{options: Options{Target: target}}).url(raw)
}
