package flatfile

import (
	"errors"
	"fmt"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile/internal/schema"
)

// maxSparse is how many times as many bytes as a file has a tensor of it may
// have that is stored sparsely.
const maxSparse = 32

// sparse is a tensor of which the file holds some values and where they are:
// TensorFlow Lite's TACO format (tensorflow/lite/kernels/internal/utils/
// sparsity_format_converter.cc). Its dimensions are gone through in an order of
// their own, and behind them the blocks that some are divided into.
type sparse struct {
	shape, order, blocks []int
	levels               []level
	size                 int // of a value, in bytes
	src, dst             []byte
	at                   []int // index at each level
}

// level is a dimension: dense, or only those places that indices names.
type level struct {
	dense             bool
	n                 int // of a dense one
	segments, indices []int
}

// dense returns the values of a sparse tensor, zeros and all.
func (r *reader) dense(p *schema.SparsityParameters, t *graph.Tensor) ([]byte, error) {
	s := &sparse{shape: t.Shape, size: t.Type.Size(), src: t.Data}
	var err error
	if s.order, err = ints(r, p.TraversalOrderLength(), p.TraversalOrder); err != nil {
		return nil, err
	}
	if s.blocks, err = ints(r, p.BlockMapLength(), p.BlockMap); err != nil {
		return nil, err
	}
	for i := range p.DimMetadataLength() {
		var d schema.DimensionMetadata
		p.DimMetadata(&d, i)
		l := level{dense: d.Format() == 0, n: int(d.DenseSize())}
		if !l.dense {
			if l.segments, err = r.places(d.ArraySegmentsType(), d.ArraySegments(nil)); err != nil {
				return nil, err
			}
			if l.indices, err = r.places(d.ArrayIndicesType(), d.ArrayIndices(nil)); err != nil {
				return nil, err
			}
		}
		s.levels = append(s.levels, l)
	}
	if err := s.check(len(r.b)); err != nil {
		return nil, err
	}
	s.dst, s.at = make([]byte, t.Elems()*s.size), make([]int, len(s.levels))
	if err := s.fill(0, 0); err != nil {
		return nil, err
	}
	if len(s.src) > 0 {
		return nil, errors.New("it holds more values than places")
	}
	return s.dst, nil
}

// places reads a member of the union SparseIndexVector.
func (r *reader) places(union byte, t *schema.Unread) ([]int, error) {
	if t == nil {
		return nil, errors.New("it lacks where its values are")
	}
	table := t.Table()
	switch union {
	case 1:
		var v schema.Int32Vector
		v.Init(table.Bytes, table.Pos)
		return ints(r, v.ValuesLength(), v.Values)
	case 2:
		var v schema.Uint16Vector
		v.Init(table.Bytes, table.Pos)
		return ints(r, v.ValuesLength(), v.Values)
	case 3:
		var v schema.Uint8Vector
		v.Init(table.Bytes, table.Pos)
		return ints(r, v.ValuesLength(), v.Values)
	}
	return nil, fmt.Errorf("it says where its values are in a way of number %d", union)
}

// check says what is wrong with a description, before anything is allocated.
func (s *sparse) check(file int) error {
	n := 1
	for _, d := range s.shape {
		if d < 1 || d > graph.MaxElems {
			return fmt.Errorf("shape %v", s.shape)
		}
		if n *= d; n > graph.MaxElems || n*max(s.size, 1) > maxSparse*file {
			return fmt.Errorf("shape %v is too large for its file", s.shape)
		}
	}
	rank := len(s.shape)
	if s.size == 0 || len(s.levels) != len(s.order) || len(s.order) != rank+len(s.blocks) || len(s.levels) == 0 {
		return fmt.Errorf("%d dimensions in %d levels, %d of them blocks", rank, len(s.levels), len(s.blocks))
	}
	seen := make([]bool, len(s.order))
	for i, d := range s.order {
		if d < 0 || d >= len(s.order) || seen[d] || (d >= rank) != (i >= rank) {
			return fmt.Errorf("its dimensions are gone through in the order %v", s.order)
		}
		seen[d] = true
	}
	for _, d := range s.blocks {
		if d < 0 || d >= rank {
			return fmt.Errorf("block of dimension %d of %d", d, rank)
		}
	}
	for i, l := range s.levels {
		if !slices.IsSorted(l.segments) { // then no place is gone to twice
			return fmt.Errorf("level %d goes backwards", i)
		}
		if l.dense && (l.n < 1 || l.n > graph.MaxElems) || i >= rank && !l.dense {
			return fmt.Errorf("level %d has %d places", i, l.n)
		}
	}
	return nil
}

// fill goes through a level; at is the place in the level before, counted
// through. Each value is written once, so that no more is done than there are
// values.
func (s *sparse) fill(k, at int) error {
	if k == len(s.levels) {
		return s.put()
	}
	l := s.levels[k]
	if l.dense {
		for i := range l.n {
			s.at[k] = i
			if err := s.fill(k+1, at*l.n+i); err != nil {
				return err
			}
		}
		return nil
	}
	if at+1 >= len(l.segments) || l.segments[at] < 0 || l.segments[at+1] > len(l.indices) {
		return fmt.Errorf("level %d has no place %d", k, at)
	}
	for i := l.segments[at]; i < l.segments[at+1]; i++ {
		s.at[k] = l.indices[i]
		if err := s.fill(k+1, i); err != nil {
			return err
		}
	}
	return nil
}

// put writes the next value.
func (s *sparse) put() error {
	rank := len(s.shape)
	index := make([]int, rank)
	for k, d := range s.order {
		if k < rank {
			index[d] = s.at[k]
			continue
		}
		of := s.blocks[d-rank]
		index[of] = index[of]*s.levels[k].n + s.at[k]
	}
	place := 0
	for d, n := range s.shape {
		if index[d] < 0 || index[d] >= n {
			return fmt.Errorf("a value at %v of %v", index, s.shape)
		}
		place = place*n + index[d]
	}
	if len(s.src) < s.size {
		return errors.New("it holds fewer values than places")
	}
	copy(s.dst[place*s.size:], s.src[:s.size])
	s.src = s.src[s.size:]
	return nil
}
