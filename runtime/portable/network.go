package portable

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// Options of a network. The zero value is one thread and the fastest kernels
// that this CPU has.
type Options struct {
	// Threads share the work of one inference; 0 means 1.
	Threads int
	// ShareFrom is the number of products from which on threads share a layer;
	// 0 means a quarter of a million.
	ShareFrom int
	// Keep plans a network whose every tensor can be read after Run: nothing is
	// fused and no memory is used twice.
	Keep bool
	// Kernels names the set of kernels to use; "" means the fastest.
	Kernels string
}

// Network is a graph made ready to run: checked, its weights packed, its
// operators fused, its memory laid out. It is never changed again, so any
// number of sessions share it.
type Network struct {
	graph   *graph.Graph // inputs, outputs and tensors without data
	set     *kernel.Set
	threads int
	slots   []slot // one for each tensor
	steps   []step
	parts   []int // that threads share of each step; 1: the caller's own thread runs it
	helped  bool  // whether threads share any
	floats  int   // size of the arena of float32 values
	ints    int   // size of the arena of int8 values
	longs   int   // size of the arena of int32 values
	scratch scratch
}

// slot says where the value of a tensor is: in a constant, or in the arena of
// its type from offset on.
type slot struct {
	size    int
	offset  int // -1: not stored, because it was fused away
	int8s   []int8
	float32 []float32
	int32s  []int32
}

// step is one unit of work. Its parts can run at the same time.
type step interface {
	run(w *worker, part, parts int)
	needs(parts int) scratch
	cost() int // products or values, roughly
	most() int // parts that it can be cut into
	base() *node
}

// worthSharing is the usual Options.ShareFrom: below, handing parts over takes
// longer than it saves.
const worthSharing = 1 << 18

// partsEach is how many parts of a step there are for each thread, so that none
// has to wait long for another's last.
const partsEach = 2

// node is what the planner knows about a step.
type node struct {
	reads []int // tensors
	out   int   // tensor
	then  chain // passes over each piece of output once it is written
}

func (n *node) base() *node               { return n }
func (n *node) needs(int) scratch         { return scratch{} }
func (n *node) cost() int                 { return 0 }
func (n *node) most() int                 { return 1 }
func share(n, part, parts int) (int, int) { return n * part / parts, n * (part + 1) / parts }

// Limits that keep a hostile file from asking for more memory than a board has.
const (
	maxElems   = 1 << 24 // of one tensor
	maxArena   = 1 << 25 // elements of all tensors that live at one time
	maxNodes   = 1 << 14
	maxThreads = 256
)

// Check says why g could not be loaded.
func Check(g *graph.Graph) error {
	_, err := Load(g, Options{})
	return err
}

// Load checks g and plans it. It does not keep g's slices of weights, and
// leaves g as it is.
func Load(g *graph.Graph, o Options) (*Network, error) {
	set, err := kernels(o.Kernels)
	if err != nil {
		return nil, err
	}
	if o.Threads < 0 || o.Threads > maxThreads {
		return nil, fmt.Errorf("portable: %d threads (want 1 to %d, or 0 for 1)", o.Threads, maxThreads)
	}
	if err := computable(g); err != nil {
		return nil, fmt.Errorf("portable: %w", err)
	}
	g = signed(g)
	p := &planner{Options: o, set: set, tensors: slices.Clone(g.Tensors)}
	if err := p.check(g); err != nil {
		return nil, fmt.Errorf("portable: %w", err)
	}
	needed := needed(g)
	for i, op := range g.Ops {
		if !needed[i] {
			continue
		}
		if err := p.add(op); err != nil {
			return nil, fmt.Errorf("portable: operator %d (%s): %w", i, op.Name(), err)
		}
	}
	n := &Network{graph: bare(g), set: set, threads: max(o.Threads, 1), slots: p.slots(g.Outputs), steps: p.steps}
	if err := n.layOut(p, o.Keep); err != nil {
		return nil, fmt.Errorf("portable: %w", err)
	}
	for _, s := range n.steps {
		parts := 1
		if n.threads > 1 && s.cost() >= cmp.Or(o.ShareFrom, worthSharing) {
			parts = max(min(n.threads*partsEach, s.most()), 1)
			n.helped = n.helped || parts > 1
		}
		n.parts = append(n.parts, parts)
		n.scratch.grow(s.needs(parts))
	}
	return n, nil
}

// computable says by name which operators of g the engine does not compute.
func computable(g *graph.Graph) error {
	var names []string
	for _, op := range g.Ops {
		if op == nil {
			return errors.New("an operator is missing")
		}
		if _, ok := builders[op.Kind]; !ok && !slices.Contains(names, op.Name()) {
			names = append(names, op.Name())
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("the engine does not compute %s", strings.Join(names, ", "))
	}
	return nil
}

// needed says which operators the outputs depend on. What only says a shape is
// not needed: shapes are fixed.
func needed(g *graph.Graph) []bool {
	wanted := make([]bool, len(g.Tensors))
	for _, i := range g.Outputs {
		wanted[i] = true
	}
	out := make([]bool, len(g.Ops))
	for k, op := range slices.Backward(g.Ops) {
		for _, i := range op.Outputs {
			out[k] = out[k] || wanted[i]
		}
		if !out[k] {
			continue
		}
		known, _ := graph.Known(op.Kind)
		for slot, i := range op.Inputs {
			if i >= 0 && !slices.Contains(known.ShapeOnly, slot) {
				wanted[i] = true
			}
		}
	}
	return out
}

// bare returns g without operators and constants' data, so that a network holds
// its weights once.
func bare(g *graph.Graph) *graph.Graph {
	out := &graph.Graph{Name: g.Name, Inputs: slices.Clone(g.Inputs), Outputs: slices.Clone(g.Outputs)}
	for _, t := range g.Tensors {
		c := *t
		c.Data = nil
		out.Tensors = append(out.Tensors, &c)
	}
	return out
}

// Kernels names the sets of kernels that this CPU runs, the fastest first.
func Kernels() []string {
	var names []string
	for _, s := range kernel.Sets() {
		names = append(names, s.Name)
	}
	return names
}

func kernels(name string) (*kernel.Set, error) {
	for _, s := range kernel.Sets() {
		if name == "" || s.Name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("portable: no kernels %q on this CPU (there are %v)", name, Kernels())
}

// planner turns the operators of a graph into steps.
type planner struct {
	Options
	set     *kernel.Set
	tensors []*graph.Tensor // as in the graph, but for folded constants
	uses    []int           // readers of each tensor; an output of the graph has one more
	alias   []int           // the tensor whose memory a reshaped tensor shares, or itself
	maker   []int           // index of the step that writes a tensor, or -1
	steps   []step
}

// check proves what everything else relies on: indices are in range, sizes are
// sane, data is complete, and a tensor is written once, before it is read.
func (p *planner) check(g *graph.Graph) error {
	if len(g.Unkept) > 0 {
		return fmt.Errorf("the file holds what the portable engine does not run: %s", g.Unkept[0])
	}
	if len(g.Tensors) > maxNodes || len(g.Ops) > maxNodes {
		return fmt.Errorf("%d tensors and %d operators (at most %d of each are run)", len(g.Tensors), len(g.Ops), maxNodes)
	}
	p.uses, p.alias, p.maker = make([]int, len(g.Tensors)), make([]int, len(g.Tensors)), make([]int, len(g.Tensors))
	known := make([]bool, len(g.Tensors))
	for i, t := range g.Tensors {
		p.alias[i], p.maker[i] = i, -1
		if t == nil {
			return fmt.Errorf("tensor %d is missing", i)
		}
		if err := checkTensor(t); err != nil {
			return fmt.Errorf("tensor %d %q: %w", i, t.Name, err)
		}
		known[i] = t.Const()
	}
	inRange := func(i int) bool { return i >= 0 && i < len(g.Tensors) }
	for _, i := range g.Inputs {
		if !inRange(i) || known[i] {
			return fmt.Errorf("input tensor %d is missing, constant or there twice", i)
		}
		known[i] = true
	}
	for k, op := range g.Ops {
		if op == nil {
			return fmt.Errorf("operator %d is missing", k)
		}
		for _, i := range op.Inputs {
			if i != -1 && !(inRange(i) && known[i]) {
				return fmt.Errorf("operator %d (%s) reads tensor %d, which has no value yet", k, op.Name(), i)
			}
			if i != -1 {
				p.uses[i]++
			}
		}
		for _, i := range op.Outputs {
			if !inRange(i) || known[i] {
				return fmt.Errorf("operator %d (%s) writes tensor %d, which is missing or has a value already", k, op.Name(), i)
			}
			known[i] = true
		}
	}
	for _, i := range g.Outputs {
		if !inRange(i) || !known[i] || g.Tensors[i].Const() {
			return fmt.Errorf("output tensor %d is never computed", i)
		}
		p.uses[i]++
	}
	return nil
}

func checkTensor(t *graph.Tensor) error {
	n := 1
	for _, d := range t.Shape {
		if d < 0 || d > maxElems || int64(n)*int64(d) > maxElems {
			return fmt.Errorf("shape %v is empty, negative or above %d elements", t.Shape, maxElems)
		}
		n *= d
	}
	if t.Const() {
		if size := t.Type.Size(); size != 0 && len(t.Data) != n*size {
			return fmt.Errorf("%d bytes of data for %v %v", len(t.Data), t.Type, t.Shape)
		}
	} else if n == 0 {
		return fmt.Errorf("shape %v is empty", t.Shape)
	}
	if q := t.Quant; q != nil {
		if len(q.Zero) != 0 && len(q.Zero) != len(q.Scale) {
			return fmt.Errorf("%d scales but %d zero points", len(q.Scale), len(q.Zero))
		}
		for _, s := range q.Scale {
			if !(s > 0) || math.IsInf(float64(s), 0) {
				return fmt.Errorf("scale %v is not above 0", s)
			}
		}
	}
	return nil
}

// add turns one operator into a step, a pass of an earlier step, or a constant.
func (p *planner) add(op *graph.Op) error {
	known, _ := graph.Known(op.Kind)
	if most := max(known.Outputs, 1); len(op.Outputs) < 1 || len(op.Outputs) > most {
		return fmt.Errorf("%d outputs, want 1 to %d", len(op.Outputs), most)
	}
	if len(op.Inputs) < known.Min || len(op.Inputs) > known.Max {
		return fmt.Errorf("%d inputs, want %d to %d", len(op.Inputs), known.Min, known.Max)
	}
	if a := op.Fused(); a < graph.None || a > graph.Relu6Act {
		return fmt.Errorf("its fused activation is %v, which is not run", a)
	}
	for i, in := range op.Inputs {
		switch {
		case in == -1 && i < known.Min:
			return fmt.Errorf("input %d is absent", i)
		case in >= 0 && p.tensors[in].Type != graph.Int32 && p.tensors[in].Elems() == 0:
			return fmt.Errorf("input %d is empty", i)
		}
	}
	return builders[op.Kind](p, op)
}

// push adds a step that writes a tensor.
func (p *planner) push(s step) {
	n := s.base()
	p.maker[n.out] = len(p.steps)
	p.steps = append(p.steps, s)
}

// pass adds an elementwise operator: to the step that computes its input where
// nothing else reads that, else as a step of its own.
func (p *planner) pass(in, out int, c chain) error {
	a, b := p.tensors[in], p.tensors[out]
	if !slices.Equal(a.Shape, b.Shape) {
		return fmt.Errorf("output %v, want the input's shape %v", b.Shape, a.Shape)
	}
	k := p.maker[in]
	if k >= 0 && p.uses[in] == 1 && !p.Keep && a.Type == b.Type && p.alias[in] == in {
		n := p.steps[k].base()
		n.then.add(c)
		n.out = out
		p.maker[out] = k
		return nil
	}
	p.push(&each{node: node{reads: []int{in}, out: out, then: c}, pixels: pixels(b), channels: channels(b)})
	return nil
}

// slots returns where the constants are that steps read as they run, or all of
// them with Keep; everything else is placed by layOut.
func (p *planner) slots(outputs []int) []slot {
	s := make([]slot, len(p.tensors))
	read := make([]bool, len(p.tensors))
	for _, step := range p.steps {
		for _, i := range step.base().reads {
			read[p.alias[i]] = true
		}
	}
	for _, i := range outputs { // some may be constants by now
		read[p.alias[i]] = true
	}
	for i, t := range p.tensors {
		s[i] = slot{size: t.Elems(), offset: -1}
		if !t.Const() || !read[i] && !p.Keep {
			continue
		}
		switch t.Type {
		case graph.Int8:
			s[i].int8s = int8s(t)
		case graph.Float32:
			s[i].float32 = float32s(t)
		case graph.Int32, graph.Int64:
			s[i].int32s = int32s(t)
		}
	}
	return s
}

// channels returns the last dimension of a tensor.
func channels(t *graph.Tensor) int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[len(t.Shape)-1]
}

func pixels(t *graph.Tensor) int { return t.Elems() / max(channels(t), 1) }

// quantOf returns the quantisation of an int8 tensor that has one scale.
func quantOf(t *graph.Tensor) (affine, error) {
	if t.Type != graph.Int8 {
		return affine{}, fmt.Errorf("%q is %v, want int8", t.Name, t.Type)
	}
	if t.Quant == nil || len(t.Quant.Scale) != 1 {
		return affine{}, fmt.Errorf("%q is int8 but has not one scale", t.Name)
	}
	a := affine{scale: t.Quant.Scale[0]}
	if len(t.Quant.Zero) == 1 {
		z := t.Quant.Zero[0]
		if z < -128 || z > 127 {
			return affine{}, fmt.Errorf("%q has zero point %d (int8 goes from -128 to 127)", t.Name, z)
		}
		a.zero = int32(z)
	}
	return a, nil
}

func int8s(t *graph.Tensor) []int8 {
	out := make([]int8, len(t.Data), len(t.Data)+slack) // kernels read past the end
	for i, b := range t.Data {
		out[i] = int8(b)
	}
	return out
}

// int32s returns the values of an int32 or int64 constant.
func int32s(t *graph.Tensor) []int32 {
	if t.Type == graph.Int64 {
		out := make([]int32, len(t.Data)/8)
		for i := range out {
			v := int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
			out[i] = int32(min(max(v, math.MinInt32), math.MaxInt32))
		}
		return out
	}
	out := make([]int32, len(t.Data)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return out
}

func float32s(t *graph.Tensor) []float32 {
	out := make([]float32, len(t.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return out
}
