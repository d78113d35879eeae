package nn

import (
	"math"

	"mien/train/nn/internal/kernel"
)

// dropout works in place. What it drops depends on the step's key, the layer,
// the picture's place in the batch and the element alone, so backward draws
// the same numbers again and nothing is kept.
type dropout struct {
	t        *tensor
	seed     uint64
	limit    uint32
	scale    float32
	work     *workers
	key      uint64
	fwd, bwd func(worker, i int)
}

func newDropout(t *tensor, index int, rate float64, work *workers) *dropout {
	d := &dropout{t: t, seed: uint64(index+1) * 0x9e3779b97f4a7c15, work: work,
		limit: uint32(min(rate*(1<<32), math.MaxUint32)), scale: float32(1 / (1 - rate))}
	d.fwd = func(_, i int) { d.drop(t.image(i), i) }
	d.bwd = func(_, i int) { d.drop(t.imageGrad(i), i) }
	return d
}

func (d *dropout) drop(x []float32, i int) {
	kernel.Drop(x, splitmix(d.key^splitmix(d.seed+uint64(i))), d.limit, d.scale)
}

func (d *dropout) forward(p *pass) {
	if d.key = p.key; p.train && d.limit > 0 {
		d.work.run(p.n, d.fwd)
	}
}

func (d *dropout) backward(p *pass) {
	if d.limit > 0 {
		d.work.run(p.n, d.bwd)
	}
}

// splitmix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func splitmix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
