package retry

import (
	"context"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	for n, least := range map[int]time.Duration{-1: 500 * time.Millisecond, 0: 500 * time.Millisecond, 1: time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 1000: 30 * time.Second} {
		for _, part := range []int{1, 5} {
			for range 100 {
				if d := Backoff(n, part); d < least || d >= least+least/time.Duration(part) {
					t.Fatalf("after attempt %d with a part of %d: %v", n, part, d)
				}
			}
		}
	}
}

func TestPause(t *testing.T) {
	if !Pause(t.Context(), time.Millisecond) {
		t.Error("a pause that ended says that ctx did")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if Pause(ctx, time.Hour) {
		t.Error("a pause goes on although ctx ended")
	}
}
