package graph

import "fmt"

// MaxElems bounds the elements of one tensor, so that sizes computed from a
// file's shapes cannot overflow.
const MaxElems = 1 << 28

// Check says what is wrong with the structure of g: an index out of range, a
// shape that no memory holds, a constant whose bytes do not fit its shape, a
// value that is used before it is computed or computed twice. It does not look
// at what operators mean.
func (g *Graph) Check() error {
	for i, t := range g.Tensors {
		if err := t.check(); err != nil {
			return fmt.Errorf("graph: tensor %d (%s): %w", i, t.Name, err)
		}
	}
	for _, list := range []struct {
		what string
		at   []int
	}{{"input", g.Inputs}, {"output", g.Outputs}} {
		for _, i := range list.at {
			if i < 0 || i >= len(g.Tensors) {
				return fmt.Errorf("graph: %s is tensor %d of %d", list.what, i, len(g.Tensors))
			}
		}
	}
	return g.checkOrder()
}

func (t *Tensor) check() error {
	n := 1
	for _, d := range t.Shape {
		if d < 0 || d > MaxElems {
			return fmt.Errorf("shape %v", t.Shape)
		}
		if n *= d; n > MaxElems {
			return fmt.Errorf("shape %v has more than %d elements", t.Shape, MaxElems)
		}
	}
	if size := t.Type.Size(); t.Const() && size != 0 && len(t.Data) != n*size {
		return fmt.Errorf("%d bytes for shape %v of %s", len(t.Data), t.Shape, t.Type)
	}
	if q := t.Quant; q != nil {
		if len(q.Scale) > 1 && (q.Axis < 0 || q.Axis >= len(t.Shape) || t.Shape[q.Axis] != len(q.Scale)) {
			return fmt.Errorf("%d scales along axis %d of shape %v", len(q.Scale), q.Axis, t.Shape)
		}
		if len(q.Zero) != len(q.Scale) && !(len(q.Zero) == 0 || len(q.Zero) == 1) {
			return fmt.Errorf("%d zero points for %d scales", len(q.Zero), len(q.Scale))
		}
	}
	return nil
}

func (g *Graph) checkOrder() error {
	known := make([]bool, len(g.Tensors))
	for i, t := range g.Tensors {
		known[i] = t.Const() || t.Variable || t.Elems() == 0 // nothing to compute
	}
	for _, i := range g.Inputs {
		known[i] = true
	}
	for k, o := range g.Ops {
		if err := o.checkInputs(known); err != nil {
			return fmt.Errorf("graph: operator %d (%s): %w", k, o.Name(), err)
		}
		for _, i := range o.Outputs {
			if i < 0 || i >= len(known) {
				return fmt.Errorf("graph: operator %d (%s): output is tensor %d of %d", k, o.Name(), i, len(known))
			}
			if known[i] {
				return fmt.Errorf("graph: operator %d (%s): tensor %d has a value already", k, o.Name(), i)
			}
			known[i] = true
		}
	}
	for _, i := range g.Outputs {
		if !known[i] {
			return fmt.Errorf("graph: nothing computes output tensor %d (%s)", i, g.Tensors[i].Name)
		}
	}
	return nil
}

func (o *Op) checkInputs(known []bool) error {
	for _, i := range o.Inputs {
		if i == -1 {
			continue
		}
		if i < 0 || i >= len(known) {
			return fmt.Errorf("input is tensor %d of %d", i, len(known))
		}
		if !known[i] {
			return fmt.Errorf("tensor %d is used before it is computed", i)
		}
	}
	for _, i := range o.Intermediates {
		if i < -1 || i >= len(known) {
			return fmt.Errorf("intermediate is tensor %d of %d", i, len(known))
		}
	}
	return nil
}
