package portable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"mien/runtime/graph"
)

// maxRank bounds the dimensions of a move.
const maxRank = 8

// move copies values to other places: TRANSPOSE, SLICE, GATHER and their kin.
// The value of the output at [i, j, ...] is that of the input at the sum of the
// tables' entries for i, j and so on, counted from start.
type move struct {
	node
	typ    graph.Type
	start  int
	tables [][]int32
	beside int // values that lie side by side in input and output
}

// newMove joins dimensions that lie side by side in input and output.
func newMove(start int, tables [][]int32) *move {
	m := &move{start: start, beside: 1}
	for len(tables) > 0 {
		last := tables[len(tables)-1]
		for i, at := range last {
			if int(at) != i*m.beside {
				m.tables = tables
				return m
			}
		}
		m.beside *= len(last)
		tables = tables[:len(tables)-1]
	}
	return m
}

func (m *move) size() int {
	n := m.beside
	for _, t := range m.tables {
		n *= len(t)
	}
	return n
}

func (m *move) cost() int { return m.size() }

func moveValues[T any](m *move, out, in []T) {
	if len(m.tables) == 0 {
		copy(out[:m.beside], in[m.start:])
		return
	}
	var index [maxRank]int
	outer, last := m.tables[:len(m.tables)-1], m.tables[len(m.tables)-1]
	for {
		at := m.start
		for d, t := range outer {
			at += int(t[index[d]])
		}
		if m.beside == 1 {
			for i, t := range last {
				out[i] = in[at+int(t)]
			}
		} else {
			for i, t := range last {
				copy(out[i*m.beside:][:m.beside], in[at+int(t):])
			}
		}
		out = out[len(last)*m.beside:]
		d := len(outer) - 1
		for ; d >= 0; d-- {
			if index[d]++; index[d] < len(outer[d]) {
				break
			}
			index[d] = 0
		}
		if d < 0 {
			return
		}
	}
}

func (m *move) run(w *worker, _, _ int) {
	switch m.typ {
	case graph.Float32:
		moveValues(m, w.f32(m.out), w.f32(m.reads[0]))
		m.then.float32(w, w.f32(m.out), 0)
	case graph.Int8:
		moveValues(m, w.i8(m.out), w.i8(m.reads[0]))
		m.then.int8(w, w.i8(m.out), 0)
	default:
		moveValues(m, w.i32(m.out), w.i32(m.reads[0]))
	}
}

// move adds a move, or a constant where its input is one.
func (p *planner) move(in, out, start int, tables [][]int32) error {
	a, b := p.tensors[in], p.tensors[out]
	if len(tables) > maxRank {
		return fmt.Errorf("%d dimensions (at most %d are run)", len(tables), maxRank)
	}
	m := newMove(start, tables)
	if m.typ = stored(a.Type); m.typ < 0 && !a.Const() || a.Type != b.Type {
		return fmt.Errorf("input is %v, output %v: want the same of float32, int8 and int32", a.Type, b.Type)
	}
	if m.size() != b.Elems() {
		return fmt.Errorf("the output would have %d values, but is %v", m.size(), b.Shape)
	}
	if a.Type == graph.Int8 {
		if _, _, err := p.sameQuant(a, b, graph.None); err != nil {
			return err
		}
	}
	if a.Const() {
		n := a.Type.Size()
		if n == 0 {
			return fmt.Errorf("input is constant %v", a.Type)
		}
		data := make([]byte, b.Elems()*n)
		moveValues(m.times(n), data, a.Data)
		p.fold(out, data)
		return nil
	}
	m.node = node{reads: []int{in}, out: out}
	p.push(m)
	return nil
}

// times returns the move for values of n elements each.
func (m *move) times(n int) *move {
	c := &move{start: m.start * n, beside: m.beside * n}
	for _, t := range m.tables {
		t = slices.Clone(t)
		for i := range t {
			t[i] *= int32(n)
		}
		c.tables = append(c.tables, t)
	}
	return c
}

// fold makes a constant of what an operator computes.
func (p *planner) fold(out int, data []byte) {
	t := *p.tensors[out]
	t.Data = data
	p.tensors[out] = &t
}

// stride returns how far apart the values of each dimension lie.
func strides(shape []int) []int {
	out := make([]int, len(shape))
	n := 1
	for d := len(shape) - 1; d >= 0; d-- {
		out[d] = n
		n *= shape[d]
	}
	return out
}

// steps returns the table of n values, step apart.
func steps(n, step int) []int32 {
	t := make([]int32, n)
	for i := range t {
		t[i] = int32(i * step)
	}
	return t
}

// whole returns the tables that copy a shape as it is.
func whole(shape []int) [][]int32 {
	var tables [][]int32
	for d, s := range strides(shape) {
		tables = append(tables, steps(shape[d], s))
	}
	return tables
}

// isIndices says whether t is a constant of integers.
func isIndices(t *graph.Tensor) bool {
	return t.Const() && (t.Type == graph.Int32 || t.Type == graph.Int64)
}

// indices returns an operator's input of constant integers; n of them, unless
// n is -1.
func (p *planner) indices(op *graph.Op, slot, n int) ([]int, error) {
	t := p.optional(op, slot)
	if t == nil || !isIndices(t) || n >= 0 && t.Elems() != n {
		return nil, fmt.Errorf("input %d is not constant int32 or int64, %d of them", slot, n)
	}
	var out []int
	for _, v := range int32s(t) {
		out = append(out, int(v))
	}
	return out, nil
}

func (p *planner) transpose(op *graph.Op) error {
	in := p.tensors[op.Inputs[0]]
	perm, err := p.indices(op, 1, len(in.Shape))
	if err != nil {
		return err
	}
	s, seen := strides(in.Shape), make([]bool, len(perm))
	var tables [][]int32
	var shape []int
	for _, d := range perm {
		if d, err = axisOf(d, len(perm)); err != nil || seen[d] {
			return fmt.Errorf("its permutation is %v", perm)
		}
		seen[d] = true
		tables, shape = append(tables, steps(in.Shape[d], s[d])), append(shape, in.Shape[d])
	}
	if err := p.shaped(op.Outputs[0], shape); err != nil {
		return err
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, tables)
}

// shaped says whether a tensor has that shape.
func (p *planner) shaped(tensor int, want []int) error {
	if have := p.tensors[tensor].Shape; !slices.Equal(have, want) {
		return fmt.Errorf("output %v, want %v", have, want)
	}
	return nil
}

func (p *planner) slice(op *graph.Op) error {
	in := p.tensors[op.Inputs[0]]
	begin, err := p.indices(op, 1, len(in.Shape))
	if err != nil {
		return err
	}
	size, err := p.indices(op, 2, len(in.Shape))
	if err != nil {
		return err
	}
	for d, n := range in.Shape {
		if size[d] == -1 {
			size[d] = n - begin[d]
		}
		if begin[d] < 0 || size[d] < 0 || begin[d]+size[d] > n {
			return fmt.Errorf("%d values from %d of dimension %d of %v", size[d], begin[d], d, in.Shape)
		}
	}
	return p.cut(op.Inputs[0], op.Outputs[0], begin, size)
}

// cut copies a rectangle of a tensor.
func (p *planner) cut(in, out int, begin, size []int) error {
	start := 0
	var tables [][]int32
	for d, s := range strides(p.tensors[in].Shape) {
		start += begin[d] * s
		tables = append(tables, steps(size[d], s))
	}
	if err := p.shaped(out, size); err != nil {
		return err
	}
	return p.move(in, out, start, tables)
}

func (p *planner) stridedSlice(op *graph.Op) error {
	o, ok := op.Options.(graph.StridedSliceOptions)
	if !ok {
		return errors.New("it has no options")
	}
	if o.Offset {
		return errors.New("its end counts from begin, which is not run")
	}
	in := p.tensors[op.Inputs[0]]
	var spec [3][]int // begin, end, strides
	for k := range spec {
		n := -1
		if k > 0 {
			n = len(spec[0])
		}
		var err error
		if spec[k], err = p.indices(op, 1+k, n); err != nil {
			return err
		}
	}
	var tables [][]int32
	var shape []int
	start, d, s := 0, 0, strides(in.Shape)
	keep := func() { // a whole dimension
		tables, shape = append(tables, steps(in.Shape[d], s[d])), append(shape, in.Shape[d])
		d++
	}
	for k := range spec[0] {
		bit := 1 << min(k, 31)
		switch {
		case o.Ellipsis&bit != 0:
			left := 0 // entries behind that take a dimension
			for j := k + 1; j < len(spec[0]); j++ {
				if o.NewAxis&(1<<min(j, 31)) == 0 {
					left++
				}
			}
			for d < len(in.Shape)-left {
				keep()
			}
			continue
		case o.NewAxis&bit != 0:
			tables, shape = append(tables, []int32{0}), append(shape, 1)
			continue
		}
		if d >= len(in.Shape) {
			return fmt.Errorf("%d entries for %v", len(spec[0]), in.Shape)
		}
		first, n, step, err := span1(in.Shape[d], spec[0][k], spec[1][k], spec[2][k], o.Begin&bit != 0, o.End&bit != 0, o.Shrink&bit != 0)
		if err != nil {
			return err
		}
		start += first * s[d]
		if o.Shrink&bit == 0 {
			tables, shape = append(tables, steps(n, step*s[d])), append(shape, n)
		}
		d++
	}
	for d < len(in.Shape) {
		keep()
	}
	if err := p.shaped(op.Outputs[0], shape); err != nil {
		return err
	}
	return p.move(op.Inputs[0], op.Outputs[0], start, tables)
}

// span1 returns what an entry of a strided slice takes of a dimension of size:
// the first index, the count and the step.
func span1(size, begin, end, step int, open, openEnd, shrink bool) (first, n, by int, err error) {
	if step == 0 {
		return 0, 0, 0, errors.New("a stride of 0")
	}
	if begin < 0 {
		begin += size
	}
	if shrink {
		if begin < 0 || begin >= size {
			return 0, 0, 0, fmt.Errorf("value %d of a dimension of %d", begin, size)
		}
		return begin, 1, 1, nil
	}
	if end < 0 {
		end += size
	}
	lo, hi := 0, size // bounds of begin and end
	if step < 0 {
		lo, hi = -1, size-1
	}
	begin, end = min(max(begin, lo), hi), min(max(end, lo), hi)
	if open {
		begin = map[bool]int{true: lo, false: hi}[step > 0]
	}
	if openEnd {
		end = map[bool]int{true: hi, false: lo}[step > 0]
	}
	n = (end - begin + step - sign(step)) / step
	if n <= 0 {
		return 0, 0, 0, errors.New("it takes nothing")
	}
	return begin, n, step, nil
}

func sign(v int) int {
	if v < 0 {
		return -1
	}
	return 1
}

// split cuts a tensor into its outputs along an axis: as many equal parts, or
// with SPLIT_V parts of given sizes.
func (p *planner) split(op *graph.Op) error {
	known, _ := graph.Known(op.Kind)
	in := p.tensors[op.Inputs[known.Data]]
	slot := map[graph.Kind]int{graph.Split: 0, graph.SplitV: 2}[op.Kind]
	axes, err := p.indices(op, slot, 1)
	if err != nil {
		return err
	}
	axis, err := axisOf(axes[0], len(in.Shape))
	if err != nil {
		return err
	}
	if o, ok := op.Options.(graph.SplitOptions); !ok || o.N != len(op.Outputs) {
		return fmt.Errorf("%d outputs, and its options are %+v", len(op.Outputs), op.Options)
	}
	begin, size := make([]int, len(in.Shape)), slices.Clone(in.Shape)
	for _, out := range op.Outputs {
		if len(p.tensors[out].Shape) != len(size) {
			return fmt.Errorf("a part of %v is %v", in.Shape, p.tensors[out].Shape)
		}
		size[axis] = p.tensors[out].Shape[axis]
		if begin[axis]+size[axis] > in.Shape[axis] {
			return fmt.Errorf("its parts are more than %v along axis %d", in.Shape, axis)
		}
		if err := p.cut(op.Inputs[known.Data], out, begin, size); err != nil {
			return err
		}
		begin[axis] += size[axis]
	}
	if op.Kind == graph.SplitV {
		var parts []int
		for _, out := range op.Outputs {
			parts = append(parts, p.tensors[out].Shape[axis])
		}
		if err := p.stated(op, 1, parts); err != nil {
			return err
		}
	}
	if begin[axis] != in.Shape[axis] {
		return fmt.Errorf("its parts are %d of %v along axis %d", begin[axis], in.Shape, axis)
	}
	return nil
}

// unpack takes a tensor apart along an axis, which goes.
func (p *planner) unpack(op *graph.Op) error {
	o, ok := op.Options.(graph.PackOptions)
	if !ok {
		return errors.New("it has no options")
	}
	in := p.tensors[op.Inputs[0]]
	axis, err := axisOf(o.Axis, len(in.Shape))
	if err != nil {
		return err
	}
	if in.Shape[axis] != len(op.Outputs) || o.N != len(op.Outputs) {
		return fmt.Errorf("%d outputs for axis %d of %v", len(op.Outputs), axis, in.Shape)
	}
	tables := slices.Delete(whole(in.Shape), axis, axis+1)
	shape := slices.Delete(slices.Clone(in.Shape), axis, axis+1)
	for i, out := range op.Outputs {
		if err := p.shaped(out, shape); err != nil {
			return err
		}
		if err := p.move(op.Inputs[0], out, i*strides(in.Shape)[axis], tables); err != nil {
			return err
		}
	}
	return nil
}

// blocks takes SPACE_TO_DEPTH and DEPTH_TO_SPACE.
func (p *planner) blocks(op *graph.Op) error {
	o, ok := op.Options.(graph.BlockOptions)
	if !ok || o.Size < 1 || o.Size > 1<<10 {
		return errors.New("it has no size of a block")
	}
	in, out, b := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]], o.Size
	if len(in.Shape) != 4 || len(out.Shape) != 4 {
		return fmt.Errorf("input %v and output %v, want four dimensions of both", in.Shape, out.Shape)
	}
	s := strides(in.Shape)
	n, h, w, c := in.Shape[0], in.Shape[1], in.Shape[2], in.Shape[3]
	tables := [][]int32{steps(n, s[0]), nil, nil, nil}
	if op.Kind == graph.SpaceToDepth {
		if err := p.shaped(op.Outputs[0], []int{n, h / b, w / b, c * b * b}); err != nil || h%b != 0 || w%b != 0 {
			return fmt.Errorf("blocks of %d of %v (%v)", b, in.Shape, err)
		}
		tables[1], tables[2] = steps(h/b, b*s[1]), steps(w/b, b*s[2])
		for y := range b {
			for x := range b {
				for k := range c {
					tables[3] = append(tables[3], int32(y*s[1]+x*s[2]+k))
				}
			}
		}
	} else {
		to := c / (b * b)
		if err := p.shaped(op.Outputs[0], []int{n, h * b, w * b, to}); err != nil || to*b*b != c {
			return fmt.Errorf("blocks of %d of %v (%v)", b, in.Shape, err)
		}
		for y := range h * b {
			tables[1] = append(tables[1], int32(y/b*s[1]+y%b*b*to))
		}
		for x := range w * b {
			tables[2] = append(tables[2], int32(x/b*s[2]+x%b*to))
		}
		tables[3] = steps(to, 1)
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, tables)
}

func (p *planner) tile(op *graph.Op) error {
	in := p.tensors[op.Inputs[0]]
	times, err := p.indices(op, 1, len(in.Shape))
	if err != nil {
		return err
	}
	out := p.tensors[op.Outputs[0]].Shape
	var tables [][]int32
	for d, s := range strides(in.Shape) {
		if len(out) != len(times) || times[d] < 1 || in.Shape[d]*times[d] != out[d] {
			return fmt.Errorf("%v times %v is not %v", in.Shape, times, out)
		}
		t := make([]int32, out[d])
		for i := range t {
			t[i] = int32(i % in.Shape[d] * s)
		}
		tables = append(tables, t)
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, tables)
}

func (p *planner) broadcastTo(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]].Shape, p.tensors[op.Outputs[0]].Shape
	if err := p.stated(op, 1, out); err != nil {
		return err
	}
	lead := len(out) - len(in)
	if lead < 0 {
		return fmt.Errorf("%v cannot become %v", in, out)
	}
	var tables [][]int32
	s := strides(in)
	for d, n := range out {
		switch {
		case d < lead || in[d-lead] == 1:
			tables = append(tables, steps(n, 0))
		case in[d-lead] == n:
			tables = append(tables, steps(n, s[d-lead]))
		default:
			return fmt.Errorf("%v cannot become %v", in, out)
		}
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, tables)
}

func (p *planner) mirrorPad(op *graph.Op) error {
	o, ok := op.Options.(graph.MirrorPadOptions)
	if !ok {
		return errors.New("it has no options")
	}
	in := p.tensors[op.Inputs[0]]
	pads, err := p.indices(op, 1, 2*len(in.Shape))
	if err != nil {
		return err
	}
	edge := 1 // values at the edge that are not repeated
	if o.Mode == graph.Symmetric {
		edge = 0
	}
	var tables [][]int32
	var shape []int
	for d, s := range strides(in.Shape) {
		n, before, after := in.Shape[d], pads[2*d], pads[2*d+1]
		if before < 0 || after < 0 || before > n-edge || after > n-edge {
			return fmt.Errorf("%d and %d mirrored values of %d", before, after, n)
		}
		var t []int32
		for i := -before; i < n+after; i++ {
			at := i
			if i < 0 {
				at = -i - 1 + edge
			} else if i >= n {
				at = 2*n - 1 - i - edge
			}
			t = append(t, int32(at*s))
		}
		tables, shape = append(tables, t), append(shape, len(t))
	}
	if err := p.shaped(op.Outputs[0], shape); err != nil {
		return err
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, tables)
}

// resizeNearest takes the value at the place of each output's, rounded as TFLite
// does.
func (p *planner) resizeNearest(op *graph.Op) error {
	o, ok := op.Options.(graph.ResizeNearestOptions)
	if !ok {
		return errors.New("it has no options")
	}
	in, out := p.tensors[op.Inputs[0]].Shape, p.tensors[op.Outputs[0]].Shape
	if len(in) != 4 || len(out) != 4 || in[0] != out[0] || in[3] != out[3] {
		return fmt.Errorf("%v cannot become %v", in, out)
	}
	if err := p.stated(op, 1, out[1:3]); err != nil {
		return err
	}
	tables := whole(in)
	for d := 1; d < 3; d++ {
		scale := resizeScale(in[d], out[d], o.AlignCorners)
		tables[d] = make([]int32, out[d])
		for i := range tables[d] {
			v := float32(i)
			if o.HalfPixel {
				v += 0.5
			}
			v *= scale
			if o.AlignCorners {
				v = float32(math.Round(float64(v)))
			}
			at := min(max(int(math.Floor(float64(v))), 0), in[d]-1)
			tables[d][i] = int32(at * strides(in)[d])
		}
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, tables)
}

func resizeScale(in, out int, alignCorners bool) float32 {
	if alignCorners && out > 1 {
		return float32(in-1) / float32(out-1)
	}
	return float32(in) / float32(out)
}

// shapeOf makes a constant of SHAPE: shapes are fixed.
func (p *planner) shapeOf(op *graph.Op) error {
	in, out := p.tensors[op.Inputs[0]], p.tensors[op.Outputs[0]]
	if err := p.shaped(op.Outputs[0], []int{len(in.Shape)}); err != nil {
		return err
	}
	var data []byte
	for _, d := range in.Shape {
		switch out.Type {
		case graph.Int32:
			data = binary.LittleEndian.AppendUint32(data, uint32(d))
		case graph.Int64:
			data = binary.LittleEndian.AppendUint64(data, uint64(d))
		default:
			return fmt.Errorf("output is %v, want int32 or int64", out.Type)
		}
	}
	p.fold(op.Outputs[0], data)
	return nil
}

// gather takes slices along an axis: those of constant indices are moved.
func (p *planner) gather(op *graph.Op) error {
	o, ok := op.Options.(graph.GatherOptions)
	if !ok {
		return errors.New("it has no options")
	}
	if o.BatchDims != 0 {
		return fmt.Errorf("%d batch dimensions, which are not run", o.BatchDims)
	}
	in, at := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]]
	axis, err := axisOf(o.Axis, len(in.Shape))
	if err != nil {
		return err
	}
	shape := slices.Concat(in.Shape[:axis], at.Shape, in.Shape[axis+1:])
	if err := p.shaped(op.Outputs[0], shape); err != nil {
		return err
	}
	inner := elems(in.Shape[axis+1:])
	if !at.Const() {
		return p.gatherAsked(op, elems(in.Shape[:axis]), in.Shape[axis], inner)
	}
	list, err := p.indices(op, 1, -1)
	if err != nil {
		return err
	}
	t := make([]int32, len(list))
	for i, v := range list {
		if v < 0 || v >= in.Shape[axis] {
			return fmt.Errorf("value %d of a dimension of %d", v, in.Shape[axis])
		}
		t[i] = int32(v * inner)
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, [][]int32{steps(elems(in.Shape[:axis]), in.Shape[axis]*inner), t, steps(inner, 1)})
}

// gatherND takes slices by constant places, each an index for each of the first
// dimensions.
func (p *planner) gatherND(op *graph.Op) error {
	in, at := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]]
	if len(at.Shape) == 0 || at.Shape[len(at.Shape)-1] > len(in.Shape) || at.Shape[len(at.Shape)-1] < 1 {
		return fmt.Errorf("places %v in %v", at.Shape, in.Shape)
	}
	depth := at.Shape[len(at.Shape)-1]
	if err := p.shaped(op.Outputs[0], slices.Concat(at.Shape[:len(at.Shape)-1], in.Shape[depth:])); err != nil {
		return err
	}
	list, err := p.indices(op, 1, -1)
	if err != nil {
		return err
	}
	inner := elems(in.Shape[depth:])
	places := make([]int32, len(list)/depth)
	for i := range places {
		place := 0
		for d, v := range list[i*depth:][:depth] {
			if v < 0 || v >= in.Shape[d] {
				return fmt.Errorf("value %d of a dimension of %d", v, in.Shape[d])
			}
			place = place*in.Shape[d] + v
		}
		places[i] = int32(place * inner)
	}
	return p.move(op.Inputs[0], op.Outputs[0], 0, [][]int32{places, steps(inner, 1)})
}

// gathered takes slices by indices that are computed. One outside is the
// nearest inside.
type gathered struct {
	node
	typ              graph.Type
	outer, of, inner int
}

func (p *planner) gatherAsked(op *graph.Op, outer, of, inner int) error {
	in, at, out := p.tensors[op.Inputs[0]], p.tensors[op.Inputs[1]], p.tensors[op.Outputs[0]]
	if in.Type != out.Type || stored(in.Type) < 0 || stored(at.Type) != graph.Int32 {
		return fmt.Errorf("%v by %v as %v", in.Type, at.Type, out.Type)
	}
	if in.Type == graph.Int8 {
		if _, _, err := p.sameQuant(in, out, graph.None); err != nil {
			return err
		}
	}
	p.push(&gathered{node: node{reads: op.Inputs, out: op.Outputs[0]}, typ: stored(in.Type), outer: outer, of: of, inner: inner})
	return nil
}

func (s *gathered) run(w *worker, _, _ int) {
	at := w.i32(s.reads[1])
	switch s.typ {
	case graph.Float32:
		gatherValues(s, w.f32(s.out), w.f32(s.reads[0]), at)
		s.then.float32(w, w.f32(s.out), 0)
	case graph.Int8:
		gatherValues(s, w.i8(s.out), w.i8(s.reads[0]), at)
		s.then.int8(w, w.i8(s.out), 0)
	default:
		gatherValues(s, w.i32(s.out), w.i32(s.reads[0]), at)
	}
}

func gatherValues[T any](s *gathered, out, in []T, at []int32) {
	for o := range s.outer {
		for _, i := range at {
			k := min(max(int(i), 0), s.of-1)
			copy(out[:s.inner], in[(o*s.of+k)*s.inner:])
			out = out[s.inner:]
		}
	}
}
