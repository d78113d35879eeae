package nn

import (
	"fmt"
	"math"

	"mien/train/nn/internal/kernel"
)

// Adam is the optimiser of Kingma and Ba 2015 by PyTorch's formula. Zero
// values of LR, Beta1, Beta2 and Eps mean 3e-4, 0.9, 0.999 and 1e-7.
// WeightDecay is decoupled (AdamW) and leaves biases and norms alone.
type Adam struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64

	// The state, for checkpoints: steps made and the two moments of every
	// parameter, in the order of Net.Params. Running statistics have nil.
	T    int64
	M, V [][]float32
}

// Step moves the parameters of net against their gradients.
func (a *Adam) Step(net *Net) error {
	if a.M == nil && a.V == nil {
		a.reset(net.params)
	}
	if err := a.check(net.params); err != nil {
		return err
	}
	a.T++
	lr := or(a.LR, 3e-4)
	b1, b2 := or(a.Beta1, 0.9), or(a.Beta2, 0.999)
	net.adam = kernel.AdamStep{InvBeta1: float32(1 - b1), Beta2: float32(b2), InvBeta2: float32(1 - b2),
		Step: float32(lr / (1 - math.Pow(b1, float64(a.T)))),
		Root: float32(1 / math.Sqrt(1-math.Pow(b2, float64(a.T)))), Eps: float32(or(a.Eps, 1e-7))}
	for i := range net.params {
		p := &net.params[i]
		if p.Grad == nil {
			continue
		}
		net.adam.Keep = 1
		if len(p.Shape) > 1 {
			net.adam.Keep = float32(1 - lr*a.WeightDecay)
		}
		net.adamP, net.adamM, net.adamV = p, a.M[i], a.V[i]
		net.work.run((len(p.Value)+adamChunk-1)/adamChunk, net.adamF)
	}
	return nil
}

// adamChunk is the number of values that a worker updates at a time.
const adamChunk = 1 << 14

func (n *Net) adamPart(_, i int) {
	lo := i * adamChunk
	hi := min(lo+adamChunk, len(n.adamP.Value))
	kernel.Adam(n.adamP.Value[lo:hi], n.adamP.Grad[lo:hi], n.adamM[lo:hi], n.adamV[lo:hi], n.adam)
}

func (a *Adam) reset(params []Param) {
	a.M, a.V = make([][]float32, len(params)), make([][]float32, len(params))
	for i, p := range params {
		a.M[i], a.V[i] = make([]float32, len(p.Grad)), make([]float32, len(p.Grad))
	}
}

func (a *Adam) check(params []Param) error {
	if len(a.M) != len(params) || len(a.V) != len(params) {
		return fmt.Errorf("nn: Adam's state is of %d and %d parameters, the network has %d", len(a.M), len(a.V), len(params))
	}
	for i, p := range params {
		if len(a.M[i]) != len(p.Grad) || len(a.V[i]) != len(p.Grad) {
			return fmt.Errorf("nn: Adam's state for %s has %d and %d values, not %d", p.Name, len(a.M[i]), len(a.V[i]), len(p.Grad))
		}
	}
	return nil
}

func or(v, zero float64) float64 {
	if v == 0 {
		return zero
	}
	return v
}
