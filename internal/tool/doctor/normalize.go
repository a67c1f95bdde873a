package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/core/refusal"
)

// ambiguousPaths are paths that some servers normalize. The gateway refuses every
// one that arrives, so an answer of the echo shows that it arrived as another path.
func ambiguousPaths() []string {
	return []string{"/a//b", "/a/../b", "/a/./b", "/a/%2e%2e/b", "/a%2Fb"}
}

// normalization looks for a load balancer that changes ambiguous paths before it
// forwards them: its own rules would be about another path than access rules.
func (e *examination) normalization(ctx context.Context) {
	const check = "path normalization"
	if e.foreign {
		return
	}
	var refused, stopped, changed []string
	for _, path := range ambiguousPaths() {
		a := e.send(ctx, canary{behind: path})
		switch refusal.Reason(a.reason) {
		case refusal.PathAmbiguous:
			refused = append(refused, path)
		case refusal.Overloaded, refusal.RateLimited, refusal.Draining:
			e.say(Problem, check, fmt.Sprintf("%s could not be tried: %s", path, a.refusal()))
		case "":
			switch {
			case a.answer != nil:
				changed = append(changed, path)
			case a.response == nil:
				e.say(Problem, check, fmt.Sprintf("%s could not be tried: %s", path, a.refusal()))
			default:
				stopped = append(stopped, path)
			}
		default: // the gateway refuses another path for another reason
			changed = append(changed, path)
		}
	}
	if len(changed) > 0 {
		e.say(Problem, check, fmt.Sprintf("the load balancer normalizes paths before it forwards them: %s arrive as other paths, so its own rules and access rules can be about different ones, and signatures over the path fail; let it pass the target on as received (nginx: proxy_pass without a path and no rewrite)", strings.Join(changed, ", ")))
	}
	if len(refused) > 0 {
		e.say(OK, check, "ambiguous paths arrive as they are sent, and the gateway refuses them: "+strings.Join(refused, ", "))
	}
	if len(stopped) > 0 {
		e.say(OK, check, "the load balancer refuses or redirects ambiguous paths itself: "+strings.Join(stopped, ", "))
	}
}
