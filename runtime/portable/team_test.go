package portable

import (
	"sync/atomic"
	"testing"
	"time"
)

// counted is a step that counts how often each of its parts is run.
type counted struct {
	node
	runs [7]atomic.Int32
}

func (c *counted) run(_ *worker, part, parts int) {
	if parts == len(c.runs) {
		c.runs[part].Add(1)
	}
}

// TestTeamRunsEachPartOnce shares steps close upon another, and after breaks
// in which workers fall asleep; more workers than processors among them.
func TestTeamRunsEachPartOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 40} {
		s := (&Network{threads: threads}).NewSession()
		for round := range 2000 {
			c := &counted{}
			s.share(c, len(c.runs))
			for part := range c.runs {
				if n := c.runs[part].Load(); n != 1 {
					t.Fatalf("%d threads, step %d: part %d was run %d times by the end", threads, round, part, n)
				}
			}
			if round%500 == 0 {
				time.Sleep(5 * patience)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
