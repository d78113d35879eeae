package nn

import (
	"cmp"
	"fmt"

	"mien/runtime/model"
	"mien/train/arch"
)

// builder turns the list of layers into running ones.
type builder struct {
	net       *Net
	precision Precision

	named map[string]int // the output of a layer, by its index in outs
	outs  []output
	mem   arena
}

// output is what a layer wrote, and what its readers read: the same tensor
// for one reader, a branch of a fork for each of several.
type output struct {
	t       *tensor
	readers []*tensor
	owned   bool // the layer that wrote it never reads it again
}

func (b *builder) build() error {
	n := b.net
	n.picture = &tensor{h: model.Side, w: model.Side, c: 1, data: make([]float32, n.batch*model.Side*model.Side)}
	uses, err := b.uses()
	if err != nil {
		return err
	}
	b.add(n.picture, uses[0], false)
	for i, l := range n.Arch.Body {
		if n.freezing = i < n.Arch.Frozen; n.freezing {
			l.Frozen, l.Rate = l.Op == arch.BatchNorm, 0
		}
		if err := b.layer(i, l, uses[i+1]); err != nil {
			return fmt.Errorf("layer %d (%s %s): %w", i+1, l.Op, l.Name, err)
		}
		if n.freezing {
			n.frozen = len(n.body)
		}
	}
	n.freezing = false
	n.top = b.take(len(b.outs) - 1)
	if n.top.h*n.top.w != 1 || n.top.grad == nil {
		return fmt.Errorf("the heads need a trained vector, not %dx%dx%d: end with dense, mean or flatten", n.top.h, n.top.w, n.top.c)
	}
	b.heads()
	return nil
}

// uses counts the readers of the picture and of every layer's output.
func (b *builder) uses() ([]int, error) {
	body := b.net.Arch.Body
	uses := make([]int, len(body)+1)
	b.named["input"] = 0
	for i, l := range body {
		in, err := b.find(l.Input, i)
		if err != nil {
			return nil, fmt.Errorf("layer %d (%s %s): %w", i+1, l.Op, l.Name, err)
		}
		uses[in]++
		if l.With != "" {
			with, err := b.find(l.With, -1)
			if err != nil {
				return nil, fmt.Errorf("layer %d (%s %s): with: %w", i+1, l.Op, l.Name, err)
			}
			uses[with]++
		}
		if l.Name != "" {
			if _, twice := b.named[l.Name]; twice {
				return nil, fmt.Errorf("layer %d (%s): the name %q is taken", i+1, l.Op, l.Name)
			}
			b.named[l.Name] = i + 1
		}
	}
	uses[len(body)]++ // the heads
	return uses, nil
}

// find returns the index of a named output, or before for no name.
func (b *builder) find(name string, before int) (int, error) {
	if name == "" && before >= 0 {
		return before, nil
	}
	i, ok := b.named[name]
	if !ok {
		return 0, fmt.Errorf("no layer %q before this one", name)
	}
	return i, nil
}

// add makes an output known, behind a fork when several layers read it.
func (b *builder) add(t *tensor, uses int, owned bool) {
	o := output{t: t, owned: owned && uses == 1}
	switch {
	case uses > 1 && t.grad != nil:
		f := newFork(t, uses, b.net.work)
		b.net.body = append(b.net.body, f)
		o.readers = f.outs
	default:
		for range max(uses, 1) {
			o.readers = append(o.readers, t)
		}
	}
	b.outs = append(b.outs, o)
}

// take gives the next reader its tensor.
func (b *builder) take(i int) *tensor {
	o := &b.outs[i]
	t := o.readers[0]
	o.readers = o.readers[1:]
	return t
}

func (b *builder) layer(i int, l arch.Layer, uses int) error {
	at, _ := b.find(l.Input, i)
	in, owned := b.take(at), b.outs[at].owned
	out, run, err := b.make(i, l, in, owned)
	if err != nil {
		return err
	}
	if uses == 0 {
		return fmt.Errorf("nothing reads its output")
	}
	b.net.body = append(b.net.body, run...)
	b.net.probes = append(b.net.probes, probe{l.Name, out})
	reread := l.Op == arch.ELU || l.Op == arch.ReLU || l.Op == arch.ReLU6
	b.add(out, uses, !reread)
	return nil
}

func (b *builder) make(i int, l arch.Layer, in *tensor, owned bool) (*tensor, []layer, error) {
	n, stride := b.net, max(l.Stride, 1)
	switch l.Op {
	case arch.Conv, arch.Depthwise:
		return b.convolution(l, in, stride)
	case arch.Dense:
		if l.Out < 1 {
			return nil, nil, fmt.Errorf("its Out is %d", l.Out)
		}
		out := newTensor(n.batch, 1, 1, l.Out)
		w, bias := b.weights(l, l.Out, in.size())
		return out, []layer{newDense(n.batch, in, out, w, bias, n.work)}, nil
	case arch.BatchNorm:
		return b.norm(l, in)
	case arch.MaxPool:
		if l.Kernel < 1 || l.Kernel > min(in.h, in.w) {
			return nil, nil, fmt.Errorf("its Kernel is %d for a picture of %dx%d", l.Kernel, in.h, in.w)
		}
		g := valid(in, l.Kernel, cmp.Or(l.Stride, l.Kernel))
		out := newTensor(n.batch, g.h, g.w, in.c)
		pool := newMaxPool(g, in, out, n.work)
		if before, ok := b.last().(*norm); ok && before.out == in && pool.pairs() {
			pool.fuse(before)
		}
		return out, []layer{pool}, nil
	case arch.Mean:
		out := newTensor(n.batch, 1, 1, in.c)
		return out, []layer{newMean(in, out, n.work)}, nil
	case arch.Flatten:
		out := newTensor(n.batch, 1, 1, in.size())
		return out, []layer{newFlatten(in, out, n.work)}, nil
	case arch.Pad:
		out := newTensor(n.batch, in.h+2*l.Pad, in.w+2*l.Pad, in.c)
		return out, []layer{newPad(in, out, l.Pad, n.work)}, nil
	case arch.Upsample:
		if l.Kernel < 1 {
			return nil, nil, fmt.Errorf("its Kernel is %d", l.Kernel)
		}
		out := newTensor(n.batch, in.h*l.Kernel, in.w*l.Kernel, in.c)
		return out, []layer{newUpsample(in, out, l.Kernel, n.work)}, nil
	case arch.Concat:
		with, _ := b.find(l.With, -1)
		other := b.take(with)
		if other.h != in.h || other.w != in.w {
			return nil, nil, fmt.Errorf("puts together %dx%d and %dx%d", in.h, in.w, other.h, other.w)
		}
		out := newTensor(n.batch, in.h, in.w, in.c+other.c)
		return out, []layer{newConcat(in, other, out, n.work)}, nil
	case arch.Add:
		with, _ := b.find(l.With, -1)
		other := b.take(with)
		if other.h != in.h || other.w != in.w || other.c != in.c {
			return nil, nil, fmt.Errorf("adds %dx%dx%d and %dx%dx%d", in.h, in.w, in.c, other.h, other.w, other.c)
		}
		out := newTensor(n.batch, in.h, in.w, in.c)
		return out, []layer{newAdd(in, other, out, n.work)}, nil
	case arch.FakeQuant:
		if !(l.Scale > 0) || l.Zero < -128 || l.Zero > 127 {
			return nil, nil, fmt.Errorf("its Scale is %g, its Zero %d", l.Scale, l.Zero)
		}
		out := newTensor(n.batch, in.h, in.w, in.c)
		return out, []layer{newFakeQuant(in, out, float32(l.Scale), l.Zero, n.work)}, nil
	case arch.ELU, arch.ReLU, arch.ReLU6, arch.Dropout:
		return b.elementwise(i, l, in, owned)
	}
	return nil, nil, fmt.Errorf("unknown operation")
}

func (b *builder) convolution(l arch.Layer, in *tensor, stride int) (*tensor, []layer, error) {
	if l.Kernel < 1 || (l.Op == arch.Conv && l.Out < 1) {
		return nil, nil, fmt.Errorf("its Kernel is %d, its Out is %d", l.Kernel, l.Out)
	}
	n, g := b.net, same(in, l.Kernel, stride)
	if l.Valid {
		if l.Kernel > min(in.h, in.w) {
			return nil, nil, fmt.Errorf("its Kernel is %d for a picture of %dx%d", l.Kernel, in.h, in.w)
		}
		g = valid(in, l.Kernel, stride)
	}
	if l.Op == arch.Depthwise {
		out := newTensor(n.batch, g.h, g.w, in.c)
		w, bias := b.weights(l, in.c, 1, l.Kernel, l.Kernel)
		return out, []layer{newDepthwise(g, in, out, w, bias, n.work)}, nil
	}
	out := newTensor(n.batch, g.h, g.w, l.Out)
	w, bias := b.weights(l, l.Out, in.c, l.Kernel, l.Kernel)
	if b.precision == Bfloat16 {
		return out, []layer{newBfloatConv(g, n.batch, in, out, w, bias, n.work)}, nil
	}
	if hasWinograd(g, in, l.Out) {
		return out, []layer{newWinograd(g, n.batch, in, out, w, bias, n.work, &b.mem)}, nil
	}
	return out, []layer{newConv(g, in, out, w, bias, n.work)}, nil
}

// norm's input gradient takes the memory of its output's.
func (b *builder) norm(l arch.Layer, in *tensor) (*tensor, []layer, error) {
	if in.grad == nil {
		return nil, nil, fmt.Errorf("batch norm of the picture")
	}
	n := b.net
	out := &tensor{h: in.h, w: in.w, c: in.c, data: make([]float32, len(in.data)), grad: in.grad}
	gamma, beta := n.param(l.Name+".weight", true, in.c), n.param(l.Name+".bias", true, in.c)
	mean, variance := n.param(l.Name+".running_mean", false, in.c), n.param(l.Name+".running_var", false, in.c)
	run := newNorm(n.batch, in, out, gamma, beta, mean, variance, n.work)
	run.frozen = l.Frozen
	if e, ok := b.last().(*elu); ok && e.t == in {
		e.undone, run.elu = true, true
	}
	return out, []layer{run}, nil
}

// last is the layer built before.
func (b *builder) last() layer {
	if len(b.net.body) == 0 {
		return nil
	}
	return b.net.body[len(b.net.body)-1]
}

// elu lets the convolution that has just written t go on with it.
func (b *builder) elu(t *tensor) *elu {
	e := newELU(t, b.net.work)
	if c, ok := b.last().(interface{ fuseELU(*tensor) bool }); ok {
		e.done = c.fuseELU(t)
	}
	return e
}

// relu lets the norm that has just written t go on with it.
func (b *builder) relu(t *tensor, limit float32) *relu {
	r := newReLU(t, limit, b.net.work)
	if n, ok := b.last().(*norm); ok && n.out == t {
		n.relu, r.done = r, true
	}
	return r
}

// elementwise layers work in place where they may, on a copy elsewhere.
func (b *builder) elementwise(i int, l arch.Layer, in *tensor, owned bool) (*tensor, []layer, error) {
	if l.Rate < 0 || l.Rate >= 1 {
		return nil, nil, fmt.Errorf("its Rate is %g", l.Rate)
	}
	n, t, run := b.net, in, []layer(nil)
	if !owned {
		t = newTensor(n.batch, in.h, in.w, in.c)
		run = append(run, newCopy(in, t, n.work))
	}
	switch l.Op {
	case arch.ELU:
		run = append(run, b.elu(t))
	case arch.ReLU:
		run = append(run, b.relu(t, noLimit))
	case arch.ReLU6:
		run = append(run, b.relu(t, 6))
	case arch.Dropout:
		run = append(run, newDropout(t, i, l.Rate, n.work))
	}
	return t, run, nil
}

func (b *builder) weights(l arch.Layer, shape ...int) (w, bias *Param) {
	n := b.net
	w = n.param(l.Name+".weight", true, shape...)
	if !l.NoBias {
		bias = n.param(l.Name+".bias", true, shape[0])
	}
	return w, bias
}

func (b *builder) heads() {
	n := b.net
	for _, h := range n.Arch.Heads {
		c := len(h.Labels)
		w, bias := b.weights(arch.Layer{Name: h.Name}, c, n.top.size())
		run := &head{Head: h, in: n.top, w: w, b: bias, logits: make([]float32, n.batch*c)}
		if h.Measures() {
			run.scale = h.Values()
		}
		n.heads = append(n.heads, run)
		n.grads = append(n.grads, make([]float32, n.batch*c))
	}
	n.losses = make([]HeadLoss, len(n.heads))
}
