package flatfile

import (
	"slices"
	"testing"

	"mien/runtime/graph"
)

func TestSparse(t *testing.T) {
	rows := []level{{dense: true, n: 2}, {segments: []int{0, 2, 3}, indices: []int{0, 2, 3}}}
	for name, c := range map[string]struct {
		s    sparse
		want []byte // nil: an error
	}{
		"row by row":    {sparse{order: []int{0, 1}, levels: rows, src: []byte{1, 2, 3}}, []byte{1, 0, 2, 0, 0, 0, 0, 3}},
		"column first":  {sparse{order: []int{1, 0}, levels: []level{{dense: true, n: 4}, {segments: []int{0, 1, 1, 2, 3}, indices: []int{0, 0, 1}}}, src: []byte{1, 2, 3}}, []byte{1, 0, 2, 0, 0, 0, 0, 3}},
		"blocks of two": {sparse{order: []int{0, 1, 2}, blocks: []int{1}, levels: []level{{dense: true, n: 2}, {segments: []int{0, 1, 2}, indices: []int{0, 1}}, {dense: true, n: 2}}, src: []byte{1, 2, 3, 4}}, []byte{1, 2, 0, 0, 0, 0, 3, 4}},

		"too few values":   {sparse{order: []int{0, 1}, levels: rows, src: []byte{1, 2}}, nil},
		"outside":          {sparse{order: []int{0, 1}, levels: []level{{dense: true, n: 2}, {segments: []int{0, 1, 1}, indices: []int{4}}}, src: []byte{1}}, nil},
		"an order twice":   {sparse{order: []int{0, 0}, levels: rows, src: []byte{1, 2, 3}}, nil},
		"too many rows":    {sparse{order: []int{0, 1}, levels: []level{{dense: true, n: 3}, rows[1]}, src: []byte{1, 2, 3}}, nil},
		"backwards":        {sparse{order: []int{0, 1}, levels: []level{{dense: true, n: 3}, {segments: []int{0, 3, 0, 3}, indices: []int{0, 1, 2}}}, src: []byte{1, 2, 3}}, nil},
		"too few levels":   {sparse{order: []int{0, 1}, levels: rows[:1], src: []byte{1, 2, 3}}, nil},
		"block of nothing": {sparse{order: []int{0, 1, 2}, blocks: []int{2}, levels: append(slices.Clone(rows), level{dense: true, n: 1}), src: []byte{1, 2, 3}}, nil},
	} {
		s := c.s
		s.shape, s.size = []int{2, 4}, 1
		err := s.check(100)
		if err == nil {
			s.dst, s.at = make([]byte, 8), make([]int, len(s.levels))
			err = s.fill(0, 0)
		}
		if (err == nil) != (c.want != nil) || err == nil && !slices.Equal(s.dst, c.want) {
			t.Errorf("%s: %v, want %v (%v)", name, s.dst, c.want, err)
		}
	}
	if err := (&sparse{shape: []int{100, 100}, size: 4, order: []int{0, 1}, levels: rows}).check(1000); err == nil {
		t.Error("a file of 1,000 bytes holds 40,000")
	}
}

func TestSparseIsNotWritten(t *testing.T) {
	g := &graph.Graph{Tensors: []*graph.Tensor{{Name: "in", Shape: []int{1}, Sparse: true}}, Inputs: []int{0}, Outputs: []int{0}}
	if _, err := Marshal(g); err == nil {
		t.Error("written as if it were dense")
	}
}
