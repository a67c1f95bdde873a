package gateway

import (
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/config"
)

// loadTimes has the times of the loads of one source.
type loadTimes struct {
	loaded time.Time // when the content in force was loaded
	tried  time.Time // when the latest content was checked
}

// record records the result of loading a source, with its error, or nil.
func (r *reloader) record(name audit.Source, err error) {
	l := loadTimes{loaded: r.loads[name].loaded, tried: time.Now()}
	if err == nil {
		l.loaded = l.tried
	}
	r.failed[name], r.loads[name] = err, l
}

// firstLoads returns the loads of a configuration that was loaded now.
func firstLoads(c *config.Config) map[audit.Source]loadTimes {
	now, loads := time.Now(), map[audit.Source]loadTimes{}
	for _, s := range allSources(c) {
		loads[s.name] = loadTimes{loaded: now, tried: now}
	}
	return loads
}
