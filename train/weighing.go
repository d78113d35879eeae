package train

import (
	"math"

	"mien/train/nn"
)

// The ways to weigh the heads' losses.
const (
	Fixed       = "fixed"       // as the recipe says
	Uncertainty = "uncertainty" // Kendall, Gal, Cipolla 2018, arXiv 1705.07115
	GradNorm    = "gradnorm"    // Chen et al. 2018, arXiv 1711.02257
)

var weighings = []string{Fixed, Uncertainty, GradNorm}

// weighing are loss weights that learn. They begin as the recipe's, and a head
// of weight 0 stays untaught.
//
// By uncertainty, a head of weight w adds w*loss - log(w)/2 to what is made
// small: its weight tends to 1/(2 loss). By gradnorm, weights move until the
// heads pull at the layer that they share with forces in proportion to
// (loss/first loss)^gradNormAlpha, over its mean, and keep their sum. The paper
// takes the pull at the weights of the last shared layer; here it is that at its
// output, which bounds it (Sener, Koltun 2018, arXiv 1810.04650).
type weighing struct {
	Log   []float64 `json:"log"`   // of each weight, what learns; 0 for a head of weight 0
	First []float64 `json:"first"` // loss of the first batch that had a label of the head; 0: none yet
	M     []float64 `json:"m"`     // Adam's moments
	V     []float64 `json:"v"`
	T     []float64 `json:"t"` // steps of each
}

// gradNormAlpha is how strongly heads that learn slowly are favoured: the
// paper's value for its NYUv2 experiments.
const gradNormAlpha = 1.5

// weighRate is Adam's learning rate of the logarithms of the weights: by a tenth
// in a hundred steps.
const weighRate = 1e-3

func newWeighing(kind string, weights []float64) *weighing {
	if kind == Fixed {
		return nil
	}
	n := len(weights)
	w := &weighing{Log: make([]float64, n), First: make([]float64, n), M: make([]float64, n), V: make([]float64, n), T: make([]float64, n)}
	for i, v := range weights {
		if v > 0 {
			w.Log[i] = math.Log(v)
		}
	}
	return w
}

// apply sets the weights that are not 0.
func (w *weighing) apply(weights []float64) {
	for i := range weights {
		if weights[i] > 0 {
			weights[i] = math.Exp(w.Log[i])
		}
	}
}

// learn moves the weights after a step whose losses were l; pull is the norm of
// a head's weighted gradient at the shared layer.
func (w *weighing) learn(kind string, weights []float64, l nn.Losses, pull func(head int) float64) {
	switch kind {
	case Uncertainty:
		for i, h := range l.Heads {
			if weights[i] > 0 && h.Count > 0 {
				w.adam(i, weights[i]*h.Loss-0.5)
			}
		}
	case GradNorm:
		w.balance(weights, l, pull)
	}
	w.apply(weights)
}

// balance is a step of gradnorm.
func (w *weighing) balance(weights []float64, l nn.Losses, pull func(head int) float64) {
	n := len(weights)
	force, pace := make([]float64, n), make([]float64, n)
	var forces, paces, heads, sum float64
	for i, h := range l.Heads {
		if weights[i] == 0 {
			continue
		}
		sum += weights[i]
		if h.Count == 0 || h.Loss == 0 {
			continue
		}
		if w.First[i] == 0 {
			w.First[i] = h.Loss
		}
		force[i], pace[i] = pull(i), math.Pow(h.Loss/w.First[i], gradNormAlpha)
		forces += force[i]
		paces += pace[i]
		heads++
	}
	if heads < 2 {
		return // nothing to balance with
	}
	for i := range weights {
		if force[i] == 0 {
			continue
		}
		// |force - aim|, the aim held fast, by the weight's logarithm.
		aim := forces / heads * pace[i] / (paces / heads)
		w.adam(i, math.Copysign(force[i], force[i]-aim))
	}
	var now float64
	for i := range weights {
		if weights[i] > 0 {
			now += math.Exp(w.Log[i])
		}
	}
	for i := range weights {
		if weights[i] > 0 {
			w.Log[i] += math.Log(sum / now)
		}
	}
}

// adam moves one weight's logarithm against its gradient.
func (w *weighing) adam(i int, g float64) {
	const b1, b2, eps = 0.9, 0.999, 1e-8
	w.T[i]++
	w.M[i] = b1*w.M[i] + (1-b1)*g
	w.V[i] = b2*w.V[i] + (1-b2)*g*g
	w.Log[i] -= weighRate * w.M[i] / (1 - math.Pow(b1, w.T[i])) / (math.Sqrt(w.V[i]/(1-math.Pow(b2, w.T[i]))) + eps)
}
