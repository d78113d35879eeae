package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// onEachSet runs a test with every instruction set that the machine has, down
// to Go.
func onEachSet(t *testing.T, f func(t *testing.T)) {
	defer func() { cpu = sets()[0] }()
	for _, cpu = range sets() {
		t.Run(cpu.name, f)
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
		if d := math.Abs(float64(v) - w); float64(v) != w && !(d <= tolerance*max(1, math.Abs(w))) && !(v != v && w != w) {
			t.Fatalf("%s: element %d is %g, want %g", what, i-guard, v, w)
		}
	}
}

func TestGemm(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
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
	onEachSet(t, func(t *testing.T) {
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

// kernels are the others, each with its Go loop, on slices that may be
// changed. Sizes are rows and channels.
var kernels = []struct {
	name       string
	slices     int // of rows
	channels   int // of one value a channel
	asm, plain func(x [][]float32)
	tolerance  float64
}{
	{"ELU", 1, 0, func(x [][]float32) { ELU(x[0]) }, func(x [][]float32) { eluGo(x[0]) }, 1e-6},
	{"ELUGrad", 2, 0, func(x [][]float32) { ELUGrad(x[0], x[1]) }, func(x [][]float32) { eluGradGo(x[0], x[1]) }, 1e-6},
	{"Clamp", 1, 0, func(x [][]float32) { Clamp(x[0], 0.6) }, func(x [][]float32) { clampGo(x[0], 0.6) }, 0},
	{"ClampGrad", 2, 0, func(x [][]float32) { ClampGrad(x[0], x[1], 0.6) }, func(x [][]float32) { clampGradGo(x[0], x[1], 0.6) }, 0},
	{"Adam", 4, 0, func(x [][]float32) { square(x[3]); Adam(x[0], x[1], x[2], x[3], step) },
		func(x [][]float32) { square(x[3]); adamGo(x[0], x[1], x[2], x[3], step) }, 1e-6},
	{"Drop", 1, 0, func(x [][]float32) { Drop(x[0], 0x123456789abcdef, 0x60000000, 2) },
		func(x [][]float32) { dropGo(x[0], 0, 0x89abcdef, 0x1234567, 0x60000000, 2) }, 0},
	{"Add", 2, 0, func(x [][]float32) { Add(x[0], x[1]) }, func(x [][]float32) { addGo(x[0], x[1]) }, 0},
	{"SumRows", 1, 1, func(x [][]float32) { SumRows(x[1], x[0]) }, func(x [][]float32) { sumRowsGo(x[1], x[0]) }, 1e-6},
	{"AddRow", 1, 1, func(x [][]float32) { AddRow(x[0], x[1]) }, func(x [][]float32) { addRowGo(x[0], x[1]) }, 0},
	{"Moments", 1, 3, func(x [][]float32) { Moments(x[1], x[2], x[0], x[3]) }, func(x [][]float32) { momentsGo(x[1], x[2], x[0], x[3]) }, 1e-5},
	{"Affine", 2, 2, func(x [][]float32) { Affine(x[0], x[1], x[2], x[3]) }, func(x [][]float32) { affineGo(x[0], x[1], x[2], x[3]) }, 1e-6},
	{"GradMoments", 2, 3, func(x [][]float32) { GradMoments(x[2], x[3], x[0], x[1], x[4]) },
		func(x [][]float32) { gradMomentsGo(x[2], x[3], x[0], x[1], x[4]) }, 1e-5},
	{"Affine2", 2, 3, func(x [][]float32) { Affine2(x[0], x[1], x[2], x[3], x[4]) },
		func(x [][]float32) { affine2Go(x[0], x[1], x[2], x[3], x[4]) }, 2e-6},
}

var step = AdamStep{InvBeta1: 0.1, Beta2: 0.999, InvBeta2: 0.001, Step: 0.01, Root: 1.2, Eps: 1e-7, Keep: 0.99}

func square(x []float32) {
	for i, v := range x {
		x[i] = v * v
	}
}

// TestKernels holds every kernel against its Go loop, at all sizes, with some
// large, huge and special values.
func TestKernels(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		for _, k := range kernels {
			for _, c := range []int{1, 3, 8, 16, 24, 48, 64, 128} {
				for _, r := range []int{1, 2, 5, 33, 130} {
					var got []guarded
					var in, want [][]float32
					for i := range k.slices + k.channels {
						n := c
						if i < k.slices {
							n *= r
						}
						g := random(rng, n)
						special(rng, g.v, k.channels == 0 && k.name != "Adam")
						got, in, want = append(got, g), append(in, g.v), append(want, g.clone().v)
					}
					k.asm(in)
					k.plain(want)
					for i, g := range got {
						g.check(t, fmt.Sprintf("%s %dx%d, slice %d", k.name, r, c, i), want[i], k.tolerance)
					}
				}
			}
		}
	})
}

// TestPools compares pools with their Go loops, with ties.
func TestPools(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 10))
		for _, c := range []int{1, 5, 8, 16, 48, 64} {
			n := 1 + rng.IntN(6)
			row := 2*n*c + rng.IntN(20)
			x, dx, y, dy := random(rng, row+2*n*c), random(rng, row+2*n*c), random(rng, n*c), random(rng, n*c)
			for i := range x.v {
				x.v[i] = float32(rng.IntN(4)) - 1.5
			}
			a, b, d := random(rng, c), random(rng, c), random(rng, c)
			wantY, wantDx, wantA, wantB := y.clone(), dx.clone(), a.clone(), b.clone()
			NormPool(y.v, x.v, d.v, a.v, row)
			normPoolGo(wantY.v, x.v, d.v, a.v, row)
			y.check(t, "NormPool", wantY.v, 1e-6)
			NormPoolGrad(dx.v, dy.v, x.v, a.v, b.v, d.v, row)
			normPoolGradGo(wantDx.v, dy.v, x.v, a.v, b.v, d.v, row)
			dx.check(t, "NormPoolGrad", wantDx.v, 1e-6)
			NormPoolMoments(a.v, b.v, dy.v, x.v, d.v, y.v[:c], row)
			normPoolMomentsGo(wantA.v, wantB.v, dy.v, x.v, d.v, y.v[:c], row)
			a.check(t, "NormPoolMoments, sum", wantA.v, 1e-6)
			b.check(t, "NormPoolMoments, dot", wantB.v, 2e-6)
		}
	})
}

// special puts values at the edges of kernels' ranges among the others.
func special(rng *rand.Rand, x []float32, wild bool) {
	values := []float32{0, -1e-8, 1e-8, -0.5, 0.6, -5, 6}
	if wild {
		values = append(values, -29.9, -30.1, -88, -1e30, 1e30, float32(math.NaN()))
	}
	for range len(x) / 5 {
		x[rng.IntN(len(x))] = values[rng.IntN(len(values))]
	}
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

// TestTransforms holds every pass against the matrix, on scattered views.
func TestTransforms(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for _, f := range Filters {
			for k, m := range f.Matrices() {
				for _, c := range []int{3, 8, 16, 48} {
					cols := 1 + rng.IntN(9)
					srcCol, dstCol := c+rng.IntN(4), c+rng.IntN(4)
					srcRow, dstRow := cols*srcCol+rng.IntN(4), cols*dstCol+rng.IntN(4)
					src := random(rng, (len(m[0])-1)*srcRow+(cols-1)*srcCol+c)
					dst := random(rng, (len(m)-1)*dstRow+(cols-1)*dstCol+c)
					want := dst.clone()
					f.Transform(k, cols, c, View{dst.v, dstRow, dstCol}, View{src.v, srcRow, srcCol})
					transformGo(matrices[f.index][k], cols, c, View{want.v, dstRow, dstCol}, View{src.v, srcRow, srcCol})
					dst.check(t, fmt.Sprintf("F(%d,%d) %s %dx%d", f.M, f.R, MatrixNames[k], cols, c), want.v, 1e-5)
				}
			}
		}
	})
}
