package portable

import (
	"cmp"
	"fmt"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// block is the memory of one tensor and the steps during which it is in use.
type block struct {
	tensor, size, offset int
	from, to             int
}

// lineElems is what offsets are a multiple of.
const lineElems = 64

// layOut gives every tensor that is stored a place in the arena of its type.
// Large tensors choose first, and each takes the lowest place that no tensor
// alive at the same time has.
func (n *Network) layOut(p *planner, keep bool) error {
	live := n.lives(p, keep)
	slices.SortStableFunc(live, func(a, b *block) int { return cmp.Compare(b.size, a.size) })
	for typ, size := range map[graph.Type]*int{graph.Int8: &n.ints, graph.Float32: &n.floats, graph.Int32: &n.longs} {
		var placed []*block
		end := 0
		for _, b := range live {
			if stored(p.tensors[b.tensor].Type) != typ {
				continue
			}
			b.offset = place(placed, b)
			if end = max(end, b.offset+b.size); end > maxArena {
				return fmt.Errorf("the network needs more than %d %v values at one time", maxArena, typ)
			}
			placed = append(placed, b)
			slices.SortFunc(placed, func(a, b *block) int { return cmp.Compare(a.offset, b.offset) })
			n.slots[b.tensor].offset = b.offset
		}
		*size = end
	}
	for i := range n.slots {
		n.slots[i].offset = n.slots[p.alias[i]].offset
		n.slots[i].int8s = n.slots[p.alias[i]].int8s
		n.slots[i].float32 = n.slots[p.alias[i]].float32
		n.slots[i].int32s = n.slots[p.alias[i]].int32s
	}
	return nil
}

// stored returns the type of the arena that holds a tensor's values, or -1.
func stored(t graph.Type) graph.Type {
	switch t {
	case graph.Int8, graph.Float32, graph.Int32:
		return t
	case graph.Int64:
		return graph.Int32
	}
	return -1
}

// lives returns the tensors that need memory, each from the step that writes
// it to the last that reads it.
func (n *Network) lives(p *planner, keep bool) []*block {
	byTensor := make([]*block, len(p.tensors))
	var all []*block
	touch := func(tensor, step int) {
		i := p.alias[tensor]
		if t := p.tensors[i]; t.Const() || stored(t.Type) < 0 {
			return
		}
		if byTensor[i] == nil {
			byTensor[i] = &block{tensor: i, size: kernel.RoundUp(n.slots[i].size, lineElems), from: step, to: step}
			all = append(all, byTensor[i])
		}
		byTensor[i].to = max(byTensor[i].to, step)
	}
	for _, i := range n.graph.Inputs {
		touch(i, -1)
	}
	for k, s := range n.steps {
		b := s.base()
		touch(b.out, k)
		for _, i := range b.reads {
			touch(i, k)
		}
	}
	for _, i := range n.graph.Outputs {
		touch(i, len(n.steps))
	}
	if keep {
		for _, b := range all {
			b.from, b.to = -1, len(n.steps)
		}
	}
	return all
}

// place returns the lowest offset at which b fits between the blocks of
// placed, sorted by offset, that are alive when b is.
func place(placed []*block, b *block) int {
	at := 0
	for _, o := range placed {
		if o.to < b.from || b.to < o.from || o.offset+o.size <= at {
			continue
		}
		if at+b.size <= o.offset {
			break
		}
		at = o.offset + o.size
	}
	return at
}
