package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// guard surrounds every slice that a kernel writes.
const guard = 64

// guarded returns a slice of n between guard values, and a check that they
// are as they were.
func guarded[T int8 | int32 | float32](t *testing.T, n int, mark T) ([]T, func()) {
	t.Helper()
	all := slices.Repeat([]T{mark}, n+2*guard)
	return all[guard:][:n], func() {
		t.Helper()
		for i, v := range all {
			if (i < guard || i >= guard+n) && v != mark {
				t.Fatalf("wrote at %d, outside of [0, %d)", i-guard, n)
			}
		}
	}
}

func randomInt8s(r *rand.Rand, n, lo, hi int) []int8 {
	out := make([]int8, n)
	for i := range out {
		out[i] = int8(lo + r.IntN(hi-lo+1))
	}
	return out
}

func randomFloats(r *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = r.Float32()*2 - 1
	}
	return out
}

// eachSet runs a test on every set of this CPU.
func eachSet(t *testing.T, test func(t *testing.T, s *Set, r *rand.Rand)) {
	for _, s := range Sets() {
		t.Run(s.Name, func(t *testing.T) { test(t, s, rand.New(rand.NewPCG(1, 2))) })
	}
}

// shape is a tile's window: runs of n values, its pixels step apart.
type shape struct{ runs, n, step, gap int }

var shapes = []shape{{1, 1, 1, 0}, {1, 25, 25, 0}, {3, 6, 2, 5}, {5, 64, 16, 9}, {2, 33, 40, 3}, {1, 300, 300, 0}, {3, 192, 64, 100}}

// TestTileInt8 compares every size of tile with the sum written out.
func TestTileInt8(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		k := &s.Int8
		for _, sh := range shapes {
			for pixels := 1; pixels <= k.MR; pixels++ {
				for channels := k.Panel; channels <= k.NR; channels += k.Panel {
					checkTileInt8(t, k, r, sh, pixels, channels)
				}
			}
		}
	})
}

func checkTileInt8(t *testing.T, k *Int8, r *rand.Rand, sh shape, pixels, channels int) {
	t.Helper()
	w := randomInt8s(r, channels*sh.runs*sh.n, int(k.Lowest), 127)
	packed, runLen := Weights(&k.Pack, w, channels, sh.runs, sh.n)
	if k.Elem == 2 {
		packed = Widen(packed)
	}
	runStep := sh.n + sh.gap
	a := randomInt8s(r, (pixels-1)*sh.step+sh.runs*runStep+runLen, -128, 127)
	loaded := make([]int8, len(a)*k.Elem)
	k.Load(loaded, a)
	accStep := RoundUp(channels, k.Align) + 16
	acc, intact := guarded[int32](t, pixels*accStep, 77)
	tile := TileInt8{
		A: loaded, W: packed, Acc: acc, AStep: sh.step * k.Elem, RunStep: runStep * k.Elem,
		WStep: sh.runs * runLen * k.Panel * k.Elem, AccStep: accStep, Runs: sh.runs, RunLen: runLen * k.Elem,
	}
	k.Tile(&tile, pixels, channels)
	intact()
	for p := range pixels {
		for c := range accStep {
			want := int32(77)
			if c < channels {
				want = 0
				for i := range sh.runs {
					for j := range sh.n {
						want += (int32(a[p*sh.step+i*runStep+j]) + k.Offset) * int32(w[(c*sh.runs+i)*sh.n+j])
					}
				}
			}
			if got := acc[p*accStep+c]; got != want {
				t.Fatalf("%+v, %d pixels, %d channels: sum of pixel %d, channel %d is %d, want %d", sh, pixels, channels, p, c, got, want)
			}
		}
	}
}

// TestTileFloat32 allows for the order of sums.
func TestTileFloat32(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		k := &s.Float32
		for _, sh := range shapes {
			for pixels := 1; pixels <= k.MR; pixels++ {
				for channels := k.Panel; channels <= k.NR; channels += k.Panel {
					checkTileFloat32(t, k, r, sh, pixels, channels)
				}
			}
		}
	})
}

func checkTileFloat32(t *testing.T, k *Float32, r *rand.Rand, sh shape, pixels, channels int) {
	t.Helper()
	w := randomFloats(r, channels*sh.runs*sh.n)
	packed, runLen := Weights(&k.Pack, w, channels, sh.runs, sh.n)
	runStep := sh.n + sh.gap
	a := randomFloats(r, (pixels-1)*sh.step+sh.runs*runStep+runLen)
	accStep := RoundUp(channels, k.Align) + 16
	acc, intact := guarded[float32](t, pixels*accStep, 77)
	tile := TileFloat32{
		A: a, W: packed, Acc: acc, AStep: sh.step, RunStep: runStep,
		WStep: sh.runs * runLen * k.Panel, AccStep: accStep, Runs: sh.runs, RunLen: runLen,
	}
	k.Tile(&tile, pixels, channels)
	intact()
	for p := range pixels {
		for c := range accStep {
			want, size := 77.0, 0.0
			if c < channels {
				want = 0
				for i := range sh.runs {
					for j := range sh.n {
						x := float64(a[p*sh.step+i*runStep+j]) * float64(w[(c*sh.runs+i)*sh.n+j])
						want, size = want+x, size+math.Abs(x)
					}
				}
			}
			if got := float64(acc[p*accStep+c]); math.Abs(got-want) > 1e-6*(1+size) {
				t.Fatalf("%+v, %d pixels, %d channels: sum of pixel %d, channel %d is %v, want %v", sh, pixels, channels, p, c, got, want)
			}
		}
	}
}

func randomEpilogue(r *rand.Rand, n int) *Epilogue {
	e := &Epilogue{
		Bias: make([]int32, n), Scale: make([]float32, n), Zero: int32(r.IntN(256)) - 128,
	}
	e.Lo, e.Hi = float32(-128-e.Zero), float32(127-e.Zero)
	if r.IntN(2) == 0 {
		e.Lo, e.Hi = 0, min(90, e.Hi)
	}
	for c := range n {
		e.Bias[c] = int32(r.IntN(1<<16)) - 1<<15
		e.Scale[c] = float32(math.Ldexp(1+r.Float64(), 4-r.IntN(24)))
	}
	return e
}

// halves is an epilogue whose products lie halfway between integers.
func halves(n int) *Epilogue {
	e := randomEpilogue(rand.New(rand.NewPCG(3, 4)), n)
	for c := range n {
		e.Bias[c], e.Scale[c] = 0, float32(math.Ldexp(0.5, -c%4))
	}
	e.Zero, e.Lo, e.Hi = 0, -128, 127
	return e
}

func TestRequant(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		for i := range 400 {
			pixels, channels := 1+r.IntN(4), 1+r.IntN(70)
			width := RoundUp(channels, s.Int8.Align)
			e, limit := randomEpilogue(r, width), 1<<22
			if i%2 == 0 {
				e, limit = halves(width), 500
			}
			dstStep, accStep := channels+r.IntN(3), width+r.IntN(3)
			acc := make([]int32, pixels*accStep)
			for c := range acc {
				acc[c] = int32(r.IntN(2*limit) - limit)
			}
			want := slices.Repeat([]int8{99}, pixels*dstStep)
			requant(want, acc, e, pixels, channels, dstStep, accStep)
			got, intact := guarded[int8](t, len(want), 99)
			s.Requant(got, acc, e, pixels, channels, dstStep, accStep)
			intact()
			same(t, fmt.Sprintf("requant of %d pixels, %d channels", pixels, channels), got, want)
		}
	})
}

func TestAffine(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		for range 400 {
			pixels, channels := 1+r.IntN(4), 1+r.IntN(70)
			width := RoundUp(channels, s.Int8.Align)
			e := randomEpilogue(r, width)
			src, w := randomInt8s(r, pixels*channels, -128, 127), make([]int32, width)
			for c := range w {
				w[c] = int32(r.IntN(255)) - 127
			}
			want := make([]int8, len(src))
			affine(want, src, w, e, pixels, channels)
			got, intact := guarded[int8](t, len(want), 99)
			s.Affine(got, src, w, e, pixels, channels)
			intact()
			same(t, "affine", got, want)
			copy(got, src)
			s.Affine(got, got, w, e, pixels, channels)
			intact()
			same(t, "affine in place", got, want)
		}
	})
}

// TestMultiply checks the rounding against real numbers: never more than one
// away from the nearest, as there are two roundings.
func TestMultiply(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 100000 {
		x, m, right := int32(r.IntN(1<<25))-1<<24, 1<<30+r.Int32N(1<<30), int32(r.IntN(25))
		want := float64(x) * float64(m) / (1 << 31) / math.Exp2(float64(right))
		if got := Multiply(x, m, 0, right); math.Abs(float64(got)-want) > 1 {
			t.Fatalf("Multiply(%d, %d, 0, %d) = %d, want %v", x, m, right, got, want)
		}
	}
	for _, c := range []struct{ x, right, want int32 }{{2, 1, 1}, {-2, 1, -1}, {3, 0, 2}, {-3, 0, -1}, {-5, 1, -1}, {6, 1, 2}, {-6, 1, -2}} {
		if got := Multiply(c.x, 1<<30, 0, c.right); got != c.want {
			t.Errorf("Multiply(%d, 1<<30, 0, %d) = %d, want %d", c.x, c.right, got, c.want)
		}
	}
}

var lengths = []int{0, 1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 200, 257}

func TestBytes(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		var table [256]int8
		copy(table[:], randomInt8s(r, 256, -128, 127))
		for _, n := range lengths {
			a, b := randomInt8s(r, n, -128, 127), randomInt8s(r, n, -128, 127)
			want := make([]int8, n)

			lookup(want, a, &table)
			got, intact := guarded[int8](t, n, 99)
			s.Lookup(got, a, &table)
			intact()
			same(t, fmt.Sprintf("lookup of %d", n), got, want)

			add := randomAdd(r)
			addInt8(want, a, b, add)
			got, intact = guarded[int8](t, n, 99)
			s.AddInt8(got, a, b, add)
			intact()
			same(t, fmt.Sprintf("sum of %d by %+v", n, add), got, want)

			sums, intact32 := guarded[int32](t, n, 99)
			wantSums := make([]int32, n)
			for i := range sums {
				sums[i] = int32(r.IntN(1<<20)) - 1<<19
				wantSums[i] = sums[i] + int32(a[i])
			}
			s.SumInt8(sums, a)
			intact32()
			if !slices.Equal(sums, wantSums) {
				t.Fatalf("sums of %d: got %v, want %v", n, sums, wantSums)
			}

			copy(want, b)
			maxInt8(want, a)
			got, intact = guarded[int8](t, n, 99)
			copy(got, b)
			s.MaxInt8(got, a)
			intact()
			same(t, fmt.Sprintf("maximum of %d", n), got, want)

			got, intact = guarded[int8](t, n*s.Int8.Elem, 99)
			s.Int8.Load(got, a)
			intact()
			for i, v := range a {
				x := int32(uint8(got[i*s.Int8.Elem]))
				if s.Int8.Offset == 0 {
					x = int32(got[i*s.Int8.Elem])
				}
				if x != int32(v)+s.Int8.Offset {
					t.Fatalf("load of %d gives %d", v, x)
				}
				if s.Int8.Elem == 2 && got[2*i+1] != v>>7 {
					t.Fatalf("load of %d has the upper byte %d", v, got[2*i+1])
				}
			}
		}
	})
}

// randomAdd returns a sum whose factors are as large as they may be, or are
// powers of two, so that halves are frequent.
func randomAdd(r *rand.Rand) *AddInt8 {
	a := &AddInt8{
		ZeroX: int32(r.IntN(256)) - 128, ZeroY: int32(r.IntN(256)) - 128, Zero: int32(r.IntN(256)) - 128, Lo: -128, Hi: 127,
		FactorX: 1<<20 + r.Int32N(1<<20), FactorY: r.Int32N(1 << 21), Shift: 1 + r.Int32N(30),
	}
	if r.IntN(2) == 0 {
		a.FactorX, a.FactorY, a.Shift = 1<<20, 1<<19, 21
	}
	if r.IntN(2) == 0 {
		a.Lo, a.Hi = a.Zero, min(a.Zero+90, 127)
	}
	return a
}

// TestAddInt8 checks the definition against real numbers.
func TestAddInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 1000 {
		a := randomAdd(r)
		for range 100 {
			x, y := int8(r.IntN(256)-128), int8(r.IntN(256)-128)
			v := float64(int32(x)-a.ZeroX)*float64(a.FactorX) + float64(int32(y)-a.ZeroY)*float64(a.FactorY)
			want := math.Floor(math.Ldexp(v, -int(a.Shift))+0.5) + float64(a.Zero)
			want = min(max(want, float64(a.Lo)), float64(a.Hi))
			if got := a.Of(x, y); float64(got) != want {
				t.Fatalf("%+v of %d and %d is %d, want %v", a, x, y, got, want)
			}
		}
	}
}

func same(t *testing.T, what string, got, want []int8) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(float64(got[i]-want[i])) <= tolerance*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestFloats(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		for _, n := range lengths {
			a, b, c := randomFloats(r, n), randomFloats(r, n), randomFloats(r, n)
			want := make([]float32, n)

			scale(want, a, b, c)
			got, intact := guarded[float32](t, n, 99)
			s.Scale(got, a, b, c)
			intact()
			near(t, "scale", got, want, 1e-6)

			addFloat32(want, a, b, -0.3, 0.9)
			got, intact = guarded[float32](t, n, 99)
			s.AddFloat32(got, a, b, -0.3, 0.9)
			intact()
			near(t, "sum", got, want, 0)

			copy(want, b)
			maxFloat32(want, a)
			got, intact = guarded[float32](t, n, 99)
			copy(got, b)
			s.MaxFloat32(got, a)
			intact()
			near(t, "maximum", got, want, 0)
		}
		for range 200 {
			pixels, channels := 1+r.IntN(4), 1+r.IntN(70)
			width := RoundUp(channels, s.Float32.Align)
			dstStep, accStep := channels+r.IntN(3), width+r.IntN(3)
			acc, bias := randomFloats(r, pixels*accStep), randomFloats(r, width)
			want := slices.Repeat([]float32{99}, pixels*dstStep)
			finish(want, acc, bias, -0.3, 0.9, pixels, channels, dstStep, accStep)
			got, intact := guarded[float32](t, len(want), 99)
			s.Finish(got, acc, bias, -0.3, 0.9, pixels, channels, dstStep, accStep)
			intact()
			near(t, "finish", got, want, 0)
		}
	})
}

// TestElu compares with math.Expm1 over the whole range.
func TestElu(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		for _, n := range append(lengths, 4000) {
			src := make([]float32, n)
			for i := range src {
				src[i] = float32(r.NormFloat64() * math.Exp(r.Float64()*8-5))
			}
			got, intact := guarded[float32](t, n, 99)
			s.Elu(got, src)
			intact()
			for i, v := range src {
				want := float64(v)
				if v < 0 {
					want = math.Expm1(want)
				}
				if math.Abs(float64(got[i])-want) > 2.5e-7*math.Abs(want) {
					t.Fatalf("elu(%v) = %v, want %v", v, got[i], want)
				}
			}
		}
		edge := []float32{0, -0.5, float32(math.Inf(1)), float32(math.Inf(-1)), -1000, float32(math.NaN()), 1e30, -1e-30}
		edge = append(edge, edge...)
		got := make([]float32, len(edge))
		s.Elu(got, edge)
		for i, want := range []float64{0, math.Expm1(-0.5), math.Inf(1), -1, -1, math.NaN(), 1e30, -1e-30} {
			if g := float64(got[i]); !(math.Abs(g-want) <= 1e-6*math.Abs(want)) && g != want && !(math.IsNaN(g) && math.IsNaN(want)) {
				t.Errorf("elu(%v) = %v, want %v", edge[i], g, want)
			}
		}
	})
}

func TestDepth(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set, r *rand.Rand) {
		for range 200 {
			pixels, runs, taps, channels := 1+r.IntN(4), 1+r.IntN(5), 1+r.IntN(5), s.Int8.Align*(1+r.IntN(4))
			tapStep := channels + r.IntN(5)
			runStep, step := taps*tapStep+r.IntN(30), tapStep*(1+r.IntN(2))
			size := pixels*step + runs*runStep + taps*tapStep + channels
			d := DepthInt8{
				A: randomInt8s(r, size, -128, 127), W: randomInt8s(r, runs*taps*channels, -128, 127),
				AStep: step, RunStep: runStep, TapStep: tapStep, Pixels: pixels, Runs: runs, Taps: taps, Channels: channels,
			}
			want := make([]int32, pixels*channels)
			d.Acc = want
			depthInt8(&d)
			got, intact := guarded[int32](t, len(want), 99)
			d.Acc = got
			if s.DepthWide {
				d.W = DepthWeights(d.W)
			}
			s.DepthInt8(&d)
			intact()
			if !slices.Equal(got, want) {
				t.Fatalf("depthwise of %dx%d, %d channels: got %v, want %v", runs, taps, channels, got, want)
			}
			f := DepthFloat32{
				A: randomFloats(r, size), W: randomFloats(r, runs*taps*channels),
				AStep: step, RunStep: runStep, TapStep: tapStep, Pixels: pixels, Runs: runs, Taps: taps, Channels: channels,
			}
			wantF := make([]float32, len(want))
			f.Acc = wantF
			depthFloat32(&f)
			gotF, intact := guarded[float32](t, len(want), 99)
			f.Acc = gotF
			s.DepthFloat32(&f)
			intact()
			near(t, "depthwise", gotF, wantF, 1e-5)
		}
	})
}

// BenchmarkTile is a convolution of the paper's network: 5x5 over 64 channels.
func BenchmarkTile(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range Sets() {
		b.Run("int8/"+s.Name, func(b *testing.B) {
			k := &s.Int8
			w, runLen := Weights(&k.Pack, randomInt8s(r, k.NR*5*320, -127, 127), k.NR, 5, 320)
			if k.Elem == 2 {
				w = Widen(w)
			}
			t := TileInt8{
				A: make([]int8, 5*54*64*k.Elem), W: w, Acc: make([]int32, k.MR*k.NR), AStep: 64 * k.Elem, RunStep: 54 * 64 * k.Elem,
				WStep: 5 * runLen * k.Panel * k.Elem, AccStep: k.NR, Runs: 5, RunLen: runLen * k.Elem,
			}
			for b.Loop() {
				k.Tile(&t, k.MR, k.NR)
			}
			b.ReportMetric(float64(b.N)*float64(k.MR*k.NR*1600)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
		b.Run("float32/"+s.Name, func(b *testing.B) {
			k := &s.Float32
			w, runLen := Weights(&k.Pack, randomFloats(r, k.NR*5*320), k.NR, 5, 320)
			t := TileFloat32{
				A: make([]float32, 5*54*64), W: w, Acc: make([]float32, k.MR*k.NR), AStep: 64, RunStep: 54 * 64,
				WStep: 5 * runLen * k.Panel, AccStep: k.NR, Runs: 5, RunLen: runLen,
			}
			for b.Loop() {
				k.Tile(&t, k.MR, k.NR)
			}
			b.ReportMetric(float64(b.N)*float64(k.MR*k.NR*1600)/b.Elapsed().Seconds()/1e9, "GMAC/s")
		})
	}
}
