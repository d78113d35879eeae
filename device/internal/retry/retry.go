// Package retry waits before something that failed is tried again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait after failed attempt n, the first being 0: half a
// second, then twice as long each time, 30 s at most. Up to a part of that, the
// whole of it for 1 and a fifth for 5, comes on top by chance, so that many
// devices that lost the same peer do not come back at once.
func Backoff(n, part int) time.Duration {
	d := min(500*time.Millisecond<<min(max(n, 0), 10), 30*time.Second)
	return d + rand.N(d/time.Duration(part))
}

// Pause waits, or for the end of ctx, and reports whether ctx goes on.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
