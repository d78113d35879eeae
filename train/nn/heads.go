package nn

import (
	"math"

	"mien/runtime/model"
)

// head is a dense layer with softmax cross-entropy.
type head struct {
	model.Head
	in     *tensor
	w, b   *Param
	logits []float32
	scale  []float64 // of a head that measures
}

// off is how far the means of answer and target are apart, as a part of the
// scale.
func (h *head) off(logits, target []float32) float64 {
	top := float64(logits[argmax(logits)])
	var sum, said, truth, mass float64
	for j, v := range h.scale {
		e := math.Exp(float64(logits[j]) - top)
		sum, said = sum+e, said+e*v
		mass, truth = mass+float64(target[j]), truth+float64(target[j])*v
	}
	return math.Abs(said/sum-truth/mass) / (h.scale[len(h.scale)-1] - h.scale[0])
}

func (h *head) forward(n int) {
	c, k := len(h.Labels), h.in.size()
	for i := range n {
		x := h.in.image(i)
		for j := range c {
			s := h.b.Value[j]
			for p, v := range h.w.Value[j*k:][:k] {
				s += v * x[p]
			}
			h.logits[i*c+j] = s
		}
	}
}

// loss returns the weighted mean of the cross-entropies and what the head
// got right, and replaces the logits' copy in grad by scale times the
// gradient.
func (h *head) loss(n int, target, weight []float32, grad []float32, scale float64) HeadLoss {
	c := len(h.Labels)
	l := HeadLoss{Head: h.Name}
	for _, w := range weight[:n] {
		l.Weight += float64(w)
	}
	clear(grad[:n*c])
	for i := range n {
		w := float64(weight[i])
		if w == 0 {
			continue
		}
		logits, t, g := h.logits[i*c:][:c], target[i*c:][:c], grad[i*c:][:c]
		l.Loss += w / l.Weight * crossEntropy(logits, t, g, scale*w/l.Weight)
		l.Count++
		switch {
		case h.scale != nil:
			l.Correct += 1 - h.off(logits, t)
		case argmax(logits) == argmax(t):
			l.Correct++
		}
	}
	return l
}

// crossEntropy is -sum(t*log(softmax(z))); g becomes scale times its gradient.
func crossEntropy(z, t, g []float32, scale float64) float64 {
	top := float64(z[argmax(z)])
	sum, mass, dot := 0.0, 0.0, 0.0
	for j, v := range z {
		sum += math.Exp(float64(v) - top)
		mass += float64(t[j])
		dot += float64(t[j]) * float64(v)
	}
	for j, v := range z {
		g[j] = float32(scale * (mass*math.Exp(float64(v)-top)/sum - float64(t[j])))
	}
	return mass*(top+math.Log(sum)) - dot
}

func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// backward sets the parameters' gradients and adds to the input's.
func (h *head) backward(n int, grad []float32) {
	c, k := len(h.Labels), h.in.size()
	clear(h.w.Grad)
	clear(h.b.Grad)
	for i := range n {
		x, dx := h.in.image(i), h.in.imageGrad(i)
		for j, g := range grad[i*c:][:c] {
			if g == 0 {
				continue
			}
			w, dw := h.w.Value[j*k:][:k], h.w.Grad[j*k:][:k]
			h.b.Grad[j] += g
			for p, v := range x {
				dw[p] += g * v
				dx[p] += g * w[p]
			}
		}
	}
}

// pull is the norm of the gradient of the head's weighted loss at its input.
func (h *head) pull(n int, grad []float32) float64 {
	c, k := len(h.Labels), h.in.size()
	var sum float64
	for i := range n {
		for p := range k {
			var d float64
			for j, g := range grad[i*c:][:c] {
				d += float64(g) * float64(h.w.Value[j*k+p])
			}
			sum += d * d
		}
	}
	return math.Sqrt(sum)
}
