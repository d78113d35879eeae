package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestRoundBF16 holds rounding against the choice between the two neighbours
// by distance, in float64.
func TestRoundBF16(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		src := []float32{0, float32(math.Copysign(0, -1)), 1, 1 + 1./256, 1 + 3./256, -1 - 1./256, 3.4e38,
			float32(math.Inf(1)), float32(math.Inf(-1)), 1e-40}
		for range 1000 {
			src = append(src, math.Float32frombits(rng.Uint32()&^(1<<30)))
		}
		src = append(src, float32(math.NaN()))
		dst := make([]BF16, len(src)+1)
		dst[len(src)] = 0x1234
		Round(dst[:len(src)], src)
		for i, x := range src {
			got := dst[i]
			if x != x {
				if f := got.Float(); f == f {
					t.Errorf("NaN becomes %g", f)
				}
				continue
			}
			low := BF16(math.Float32bits(x) >> 16)
			want := low
			if below, above := math.Abs(float64(x)-float64(low.Float())), math.Abs(float64((low+1).Float())-float64(x)); below > above || below == above && low&1 == 1 {
				want = low + 1
			}
			if x == float32(math.Inf(1)) || x == float32(math.Inf(-1)) {
				want = low
			} else if x == 3.4e38 {
				want = 0x7f80 // the next one up is infinity
			}
			if got != want {
				t.Errorf("%g (%08x) becomes %04x, want %04x", x, math.Float32bits(x), got, want)
			}
		}
		if dst[len(src)] != 0x1234 {
			t.Error("wrote behind the slice")
		}
	})
}

type guardedBF struct{ all, v []BF16 }

const guardBF = 0x7fc1 // a NaN

func randomBF(rng *rand.Rand, n int) guardedBF {
	g := guardedBF{all: make([]BF16, n+2*guard)}
	for i := range g.all {
		g.all[i] = guardBF
	}
	g.v = g.all[guard : guard+n : guard+n]
	for i := range g.v {
		g.v[i] = RoundBF16(float32(rng.NormFloat64()))
	}
	return g
}

func (g guardedBF) clone() guardedBF {
	c := guardedBF{all: append([]BF16(nil), g.all...)}
	c.v = c.all[guard : guard+len(g.v)]
	return c
}

func (g guardedBF) equal(t *testing.T, what string, want guardedBF) {
	t.Helper()
	for i, v := range g.all {
		if v != want.all[i] {
			t.Fatalf("%s: element %d of %d is %04x, want %04x", what, i-guard, len(g.v), v, want.all[i])
		}
	}
}

func TestPairsAndPlanes(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for try := range 20 {
			steps, c := 1+rng.IntN(4), Block*(1+rng.IntN(3))
			src := randomBF(rng, Block*steps*c)
			next := blockSize*steps + 8*rng.IntN(3)
			got := randomBF(rng, (c/Block-1)*next+blockSize*steps)
			want := got.clone()
			Pairs(got.v, next, src.v, c, steps)
			pairsGo(want.v, next, src.v, c, steps)
			got.equal(t, fmt.Sprintf("pairs %d", try), want)
			plane := Block*steps + 2*rng.IntN(20)
			got = randomBF(rng, (c-1)*plane+Block*steps)
			want = got.clone()
			Planes(got.v, plane, src.v, c, steps)
			planesGo(want.v, plane, src.v, c, steps)
			got.equal(t, fmt.Sprintf("planes %d", try), want)
		}
	})
}

// TestMulTiles holds the product against a sum in float64. The float32 sum of
// n exact products may be off by n roundings of the sum of their sizes; signs
// are random, so that a part of that is enough.
func TestMulTiles(t *testing.T) {
	onEachSet(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 10))
		for try := range 40 {
			jobs, steps := make([]Job, 1+rng.IntN(3)), 1+rng.IntN(5)
			row, ldc, add := 1+rng.IntN(70), Block+rng.IntN(40), try%2 == 1
			offs, last := make([]int, steps), 0
			for i := range offs {
				offs[i] = 2 * rng.IntN(100)
				last = max(last, offs[i])
			}
			for i := range jobs {
				jobs[i] = Job{A: 2 * rng.IntN(200), C: 4 * ldc * Block * i}
			}
			a := randomBF(rng, 200+last/2+(Block-1)*row+Block)
			b := randomBF(rng, steps*blockSize)
			c := random(rng, (Block*len(jobs)-1)*ldc+Block)
			want := append([]float32(nil), c.v...)
			for i := range Block * len(jobs) {
				for j := range Block {
					s := 0.0
					if add {
						s = float64(want[i*ldc+j])
					}
					for k := range Block * steps {
						x := a.v[(jobs[i/Block].A+offs[k/Block])/2+i%Block*row+k%Block]
						s += float64(x.Float()) * float64(b.v[PairAt(Block*steps, k, j)].Float())
					}
					want[i*ldc+j] = float32(s)
				}
			}
			MulTiles(jobs, offs, a.v, row, b.v, c.v, ldc, add)
			c.check(t, fmt.Sprintf("try %d: %d jobs, %d steps", try, len(jobs), steps), want, 4e-6*math.Sqrt(float64(Block*steps)))
		}
	})
}

func BenchmarkMulTiles(b *testing.B) {
	for _, steps := range []int{9, 18, 50} {
		b.Run(fmt.Sprint(steps), func(b *testing.B) {
			const blocks, c = 20, 64
			offs := make([]int, steps)
			for i := range offs {
				offs[i] = 2 * (i/2%3*c + i/2/3*27*c + i%2*32)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			x, y := randomBF(rng, 1<<17).v, randomBF(rng, steps*blockSize).v
			z := make([]float32, Block*blocks*Block)
			jobs := make([]Job, blocks)
			for i := range jobs {
				jobs[i] = Job{2 * Block * c * i, 4 * blockSize * i}
			}
			for b.Loop() {
				MulTiles(jobs, offs, x, c, y, z, Block, false)
			}
			b.ReportMetric(2*float64(blocks*steps*Block*blockSize)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
