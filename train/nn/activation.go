package nn

import (
	"math"

	"mien/train/nn/internal/kernel"
)

// elu works in place; its gradient needs only its output. A convolution before
// it or a norm after it may do its work on the way.
type elu struct {
	t            *tensor
	work         *workers
	done, undone bool // by the neighbours, forward and backward
	fwd, bwd     func(worker, i int)
}

func newELU(t *tensor, work *workers) *elu {
	return &elu{t: t, work: work,
		fwd: func(_, i int) { kernel.ELU(t.image(i)) },
		bwd: func(_, i int) { kernel.ELUGrad(t.imageGrad(i), t.image(i)) }}
}

func (e *elu) forward(p *pass) {
	if !e.done {
		e.work.run(p.n, e.fwd)
	}
}

func (e *elu) backward(p *pass) {
	if !e.undone {
		e.work.run(p.n, e.bwd)
	}
}

// relu works in place as well, with a limit of 6 or none. A norm before it may
// do its work on the way, forward and backward.
type relu struct {
	limit    float32
	done     bool
	work     *workers
	fwd, bwd func(worker, i int)
}

func newReLU(t *tensor, limit float32, work *workers) *relu {
	return &relu{limit: limit, work: work,
		fwd: func(_, i int) { kernel.Clamp(t.image(i), limit) },
		bwd: func(_, i int) { kernel.ClampGrad(t.imageGrad(i), t.image(i), limit) }}
}

func (r *relu) forward(p *pass) {
	if !r.done {
		r.work.run(p.n, r.fwd)
	}
}

func (r *relu) backward(p *pass) {
	if !r.done {
		r.work.run(p.n, r.bwd)
	}
}

var noLimit = float32(math.Inf(1))
