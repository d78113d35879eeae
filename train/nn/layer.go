package nn

// tensor is one activation for a batch: picture after picture, each h rows of
// w pixels of c channels. A vector has h = w = 1.
type tensor struct {
	h, w, c int
	data    []float32
	grad    []float32 // of the loss; nil where nobody asks for it
}

func newTensor(batch, h, w, c int) *tensor {
	n := batch * h * w * c
	return &tensor{h: h, w: w, c: c, data: make([]float32, n), grad: make([]float32, n)}
}

// size is the number of values of one picture.
func (t *tensor) size() int { return t.h * t.w * t.c }

func (t *tensor) image(i int) []float32     { n := t.size(); return t.data[i*n : (i+1)*n] }
func (t *tensor) imageGrad(i int) []float32 { n := t.size(); return t.grad[i*n : (i+1)*n] }

// pass is one run over a batch.
type pass struct {
	n     int // pictures
	train bool
	key   uint64
}

// layer reads its input tensor and writes its output tensor; backward reads
// the output's gradient, overwrites the input's and its parameters'. Several
// layers may work in place.
type layer interface {
	forward(p *pass)
	backward(p *pass)
}

// lanes is in how many parts sums over the batch are made. It is fixed, and
// the parts are added in order, so that sums do not depend on the number of
// threads; no more threads than this help in a weight gradient.
const lanes = 8

// lanesOf is how many of them the gradient of a parameter takes: none of a frozen
// layer.
func lanesOf(p *Param) int {
	if p.Grad == nil {
		return 0
	}
	return lanes
}

// lane returns the pictures of one of several parts of a batch of n.
func lane(l, of, n int) (lo, hi int) { return l * n / of, (l + 1) * n / of }
