package cooktoom

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFilters holds every algorithm against the sum it replaces.
func TestFilters(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for r := 2; r <= 5; r++ {
		for m := 2; m+r <= 9; m++ {
			a := New(m, r)
			d, g := make([]float64, a.N()), make([]float64, r)
			for i := range d {
				d[i] = rng.NormFloat64()
			}
			for i := range g {
				g[i] = rng.NormFloat64()
			}
			u, v := apply(a.G, g), apply(a.BT, d)
			for i := range v {
				v[i] *= u[i]
			}
			for i, got := range apply(a.AT, v) {
				want := 0.0
				for k := range g {
					want += g[k] * d[i+k]
				}
				if math.Abs(got-want) > 1e-12 {
					t.Errorf("F(%d,%d): y[%d] = %g, want %g", m, r, i, got, want)
				}
			}
		}
	}
}

func apply(a Matrix, x []float64) []float64 {
	y := make([]float64, len(a))
	for i, row := range a {
		for j, c := range row {
			y[i] += c * x[j]
		}
	}
	return y
}
