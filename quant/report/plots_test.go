package report

import "testing"

// What stands under a tile of the histograms fits there.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{{-1, 1, "-1 1 0 "}, {0, 1, "0 1 "}, {-0.01, 1, "-0.01 1 "}, {-1234.5678, 2, "-1.23e+03 2 "}} {
		got := ""
		for _, tick := range ends(c.lo, c.hi) {
			got += tick.Label + " "
		}
		if got != c.want {
			t.Errorf("from %v to %v: %q, want %q", c.lo, c.hi, got, c.want)
		}
	}
}
