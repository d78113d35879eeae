package data

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"mien/runtime/model"
)

// Separate keeps labels of held-out images from reaching training through
// another set: a training image that shows a held-out one of another set is in
// no split afterwards, where both have a label of the same head. Neither is a
// validation image that shows a test image. It returns how many these are. All
// sets have been loaded for the same heads.
// (Within a set, Load does so.)
func Separate(sets []*Set) int {
	n := 0
	for _, held := range sets {
		for _, s := range sets {
			if held != s && shareHead(held, s) {
				n += separate(held, s)
			}
		}
	}
	return n
}

func shareHead(a, b *Set) bool {
	for h := range a.Heads {
		if a.answers(h) && b.answers(h) {
			return true
		}
	}
	return false
}

func (s *Set) answers(head int) bool {
	for i := range s.Samples {
		if s.Samples[i].Answers(head) {
			return true
		}
	}
	return false
}

// separate takes out of s what shows a held-out image.
func separate(held, s *Set) int {
	var of []coarse
	for i := range held.Samples {
		if x := &held.Samples[i]; rank(x.Split) > 0 {
			of = append(of, coarsen(x))
		}
	}
	var out atomic.Int64
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(s.Samples); i = int(next.Add(1)) - 1 {
				if x := &s.Samples[i]; x.Split == Train || x.Split == Val {
					if crosses(x, of) {
						x.Split = ""
						out.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	return int(out.Load())
}

// rank orders the splits: nothing may go from a higher one into a lower one.
func rank(split string) int {
	switch split {
	case Val:
		return 1
	case Test, Private:
		return 2
	}
	return 0
}

func crosses(x *Sample, held []coarse) bool {
	c := coarsen(x)
	for i := range held {
		h := &held[i]
		if rank(h.of.Split) > rank(x.Split) && c.near(h) && sameHead(x, h.of) && correlation(x.Face, h.of.Face) > sameFace {
			return true
		}
	}
	return false
}

func sameHead(a, b *Sample) bool {
	for h := range a.Labels {
		if a.Answers(h) && b.Answers(h) {
			return true
		}
	}
	return false
}

// Two prepared faces are of one picture when they correlate so much at the
// best shift. Sets crop otherwise and compress again: of FER-2013 and a
// quarter of UTKFace the pairs above 0.945 were all the same picture by eye,
// and one in thirty between 0.925 and 0.945.
const (
	sameFace = 0.945
	nearFace = 0.93 // of the coarse pictures, unshifted
	shift    = 3    // pixels to each side
)

// coarse is a face in 8x8 cells and in 4x4, less its mean and of length 1.
type coarse struct {
	of     *Sample
	eight  [64]float32
	fourth [16]float32
}

const (
	cell   = 5 // pixels
	margin = (model.Side - 8*cell) / 2
)

func coarsen(x *Sample) coarse {
	c := coarse{of: x}
	var mean float32
	for i := range c.eight {
		top, left := margin+i/8*cell, margin+i%8*cell
		for y := range cell {
			for _, v := range x.Face[(top+y)*model.Side+left:][:cell] {
				c.eight[i] += float32(v)
			}
		}
		mean += c.eight[i] / float32(len(c.eight))
	}
	var length float64
	for i := range c.eight {
		c.eight[i] -= mean
		length += float64(c.eight[i]) * float64(c.eight[i])
	}
	scale := float32(1 / math.Sqrt(max(length, 1)))
	for i := range c.eight {
		c.eight[i] *= scale
		c.fourth[i/16*4+i%8/2] += c.eight[i] / 2
	}
	return c
}

// near says whether the correlation is above nearFace. The 4x4 cells are a
// projection of the 8x8, so where they are too far apart already, all are.
func (c *coarse) near(o *coarse) bool {
	const far = 2 * (1 - nearFace) // squared distance of two vectors of length 1
	var d float32
	for i, v := range c.fourth {
		v -= o.fourth[i]
		d += v * v
	}
	if d > far {
		return false
	}
	d = 0
	for i, v := range c.eight {
		v -= o.eight[i]
		d += v * v
	}
	return d <= far
}

// correlation is the largest of the middles of two faces over small shifts.
func correlation(a, b []uint8) float64 {
	best := -1.0
	for dy := -shift; dy <= shift; dy++ {
		for dx := -shift; dx <= shift; dx++ {
			best = max(best, correlationAt(a, b, dy, dx))
		}
	}
	return best
}

func correlationAt(a, b []uint8, dy, dx int) float64 {
	const edge = 6
	var sa, sb, aa, bb, ab, n float64
	for y := edge; y < model.Side-edge; y++ {
		for x := edge; x < model.Side-edge; x++ {
			p, q := float64(a[y*model.Side+x]), float64(b[(y+dy)*model.Side+x+dx])
			sa, sb, n = sa+p, sb+q, n+1
			aa, bb, ab = aa+p*p, bb+q*q, ab+p*q
		}
	}
	return (ab - sa*sb/n) / math.Sqrt(max((aa-sa*sa/n)*(bb-sb*sb/n), 1))
}
