package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// ambiguousPaths returns paths that some servers normalize. The gateway refuses each of
// them, so a response of the echo shows that another path has arrived.
func ambiguousPaths() []string {
	return []string{"/a//b", "/a/../b", "/a/./b", "/a/%2e%2e/b", "/a%2Fb"}
}

// normalization checks whether the load balancer changes ambiguous paths before it
// forwards them. Its own rules and the access rules would then see different paths.
func (e *examination) normalization(ctx context.Context) {
	const check = "path normalization"
	if e.rewritten {
		return
	}
	var refused, stopped, changed []string
	for _, path := range ambiguousPaths() {
		a := e.send(ctx, canary{suffix: path})
		switch refusal.Reason(a.reason) {
		case refusal.PathAmbiguous:
			refused = append(refused, path)
		case refusal.Overloaded, refusal.RateLimited, refusal.Draining:
			e.add(Problem, check, fmt.Sprintf("%s could not be checked: %s", path, a.describe()))
		case "":
			switch {
			case a.answer != nil:
				changed = append(changed, path)
			case a.response == nil:
				e.add(Problem, check, fmt.Sprintf("%s could not be checked: %s", path, a.describe()))
			default:
				stopped = append(stopped, path)
			}
		default: // the gateway has refused another path for another reason
			changed = append(changed, path)
		}
	}
	if len(changed) > 0 {
		e.add(Problem, check, fmt.Sprintf("the load balancer normalizes paths before it forwards them: %s arrive as other paths, so its own rules and the access rules can see different paths, and signatures over the path fail; configure it to forward the request target unchanged (nginx: proxy_pass without a path and no rewrite)", strings.Join(changed, ", ")))
	}
	if len(refused) > 0 {
		e.add(OK, check, "ambiguous paths arrive unchanged, and the gateway refuses them: "+strings.Join(refused, ", "))
	}
	if len(stopped) > 0 {
		e.add(OK, check, "the load balancer refuses or redirects ambiguous paths itself: "+strings.Join(stopped, ", "))
	}
}
