package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// atEachLevel runs a test with every instruction set that the machine has,
// down to Go.
func atEachLevel(t *testing.T, f func(t *testing.T)) {
	best := level
	defer func() { level = best }()
	for level = best; level >= levelGo; level-- {
		t.Run(fmt.Sprintf("level %d", level), f)
	}
}

// guard surrounds a slice, so that a kernel that writes beside it is found.
const guard = 32

type guarded struct{ all, v []float32 }

func random(rng *rand.Rand, n int) guarded {
	g := guarded{all: make([]float32, n+2*guard)}
	for i := range g.all {
		g.all[i] = float32(math.NaN())
	}
	g.v = g.all[guard : guard+n : guard+n]
	for i := range g.v {
		g.v[i] = float32(rng.NormFloat64())
	}
	return g
}

func (g guarded) clone() guarded {
	c := guarded{all: append([]float32(nil), g.all...)}
	c.v = c.all[guard : guard+len(g.v)]
	return c
}

// check compares with the Go loop's result and looks at the guards.
func (g guarded) check(t *testing.T, what string, want []float32, tolerance float64) {
	t.Helper()
	for i, v := range g.all {
		if outside := i < guard || i >= guard+len(g.v); outside {
			if v == v {
				t.Fatalf("%s: wrote %g at %d of %d", what, v, i-guard, len(g.v))
			}
			continue
		}
		w := float64(want[i-guard])
		if d := math.Abs(float64(v) - w); !(d <= tolerance*max(1, math.Abs(w))) && !(v != v && w != w) {
			t.Fatalf("%s: element %d is %g, want %g", what, i-guard, v, w)
		}
	}
}

func TestGemm(t *testing.T) {
	atEachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for try := range 300 {
			m, n, k := 1+rng.IntN(40), 1+rng.IntN(80), 1+rng.IntN(40)
			if try%50 == 0 {
				k += 2 * gemmRun
			}
			ldb, ldc := n+rng.IntN(3), n+rng.IntN(3)
			ars, acs, add := k+rng.IntN(3), 1, try%2 == 0
			if try%3 == 0 {
				ars, acs = 1, m+rng.IntN(3)
			}
			a, b := random(rng, (m-1)*ars+(k-1)*acs+1), random(rng, (k-1)*ldb+n)
			c := random(rng, (m-1)*ldc+n)
			want := append([]float32(nil), c.v...)
			gemmGo(m, n, k, a.v, ars, acs, b.v, ldb, want, ldc, add)
			Gemm(m, n, k, a.v, ars, acs, b.v, ldb, c.v, ldc, add)
			c.check(t, fmt.Sprintf("%dx%dx%d", m, n, k), want, 1e-5*math.Sqrt(float64(k)))
		}
	})
}

// TestGemmSplit: rows and columns may be split over threads without changing
// a bit of the result.
func TestGemmSplit(t *testing.T) {
	atEachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		m, n, k := 37, 75, 300
		a, b := random(rng, m*k).v, random(rng, k*n).v
		whole, parts := make([]float32, m*n), make([]float32, m*n)
		Gemm(m, n, k, a, k, 1, b, n, whole, n, false)
		for i := 0; i < m; i += 5 {
			for j := 0; j < n; j += 7 {
				Gemm(min(5, m-i), min(7, n-j), k, a[i*k:], k, 1, b[j:], n, parts[i*n+j:], n, false)
			}
		}
		for i := range whole {
			if math.Float32bits(whole[i]) != math.Float32bits(parts[i]) {
				t.Fatalf("element %d: %g in one piece, %g in parts", i, whole[i], parts[i])
			}
		}
	})
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{64, 64, 64}, {169, 64, 64}, {72, 256, 256}, {50, 64, 1600}} {
		b.Run(fmt.Sprint(s), func(b *testing.B) {
			m, n, k := s[0], s[1], s[2]
			x, y, z := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
			for b.Loop() {
				Gemm(m, n, k, x, k, 1, y, n, z, n, false)
			}
			b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
		})
	}
}
