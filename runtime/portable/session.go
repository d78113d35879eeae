package portable

import (
	"fmt"

	"mien/runtime/graph"
	"mien/runtime/portable/internal/kernel"
)

// Session is the memory of one inference at a time. One goroutine uses it;
// Close ends the threads that it holds.
type Session struct {
	net     *Network
	floats  []float32
	ints    []int8
	longs   []int32
	workers []*worker // the first is the caller's own goroutine
	team    team
}

// scratch counts the elements of the memory that one worker needs for itself.
type scratch struct{ band, cols, acc, bandF, colsF, accF int }

func (s *scratch) grow(t scratch) {
	*s = scratch{
		max(s.band, t.band), max(s.cols, t.cols), max(s.acc, t.acc),
		max(s.bandF, t.bandF), max(s.colsF, t.colsF), max(s.accF, t.accF),
	}
}

// slack is how far behind the end of a buffer a kernel may read.
const slack = 256

// worker is one thread of a session and its scratch memory.
type worker struct {
	*Session
	set          *kernel.Set
	sleeper      sleeper // of all but the caller's own
	band, cols   []int8
	acc          []int32
	bandF, colsF []float32
	accF         []float32
	tile         kernel.TileInt8
	tileF        kernel.TileFloat32
	depth        kernel.DepthInt8
	depthF       kernel.DepthFloat32
	part         kernel.Epilogue // of some channels
}

// NewSession returns a session with zeroed memory.
func (n *Network) NewSession() *Session {
	s := &Session{net: n, floats: make([]float32, n.floats+slack), ints: make([]int8, n.ints+slack), longs: make([]int32, n.longs)}
	c := n.scratch
	for k := range n.threads {
		w := &worker{
			Session: s, set: n.set,
			band: make([]int8, c.band+slack), cols: make([]int8, c.cols+slack),
			acc:   make([]int32, c.acc+slack),
			bandF: make([]float32, c.bandF+slack), colsF: make([]float32, c.colsF+slack),
			accF: make([]float32, c.accF+slack),
		}
		s.workers = append(s.workers, w)
		if k > 0 {
			w.sleeper.wake = make(chan struct{}, 1)
			go w.serve()
		}
	}
	return s
}

// Run computes the outputs from the inputs. It allocates nothing.
func (s *Session) Run() {
	if s.net.helped {
		s.rouse() // waking takes a while, in which the first steps run
	}
	for i, step := range s.net.steps {
		if parts := s.net.parts[i]; parts > 1 {
			s.share(step, parts)
		} else {
			step.run(s.workers[0], 0, 1)
		}
	}
}

// Close ends the threads of the session, which cannot be used any more.
func (s *Session) Close() error {
	for _, w := range s.workers[1:] {
		close(w.sleeper.wake)
	}
	s.workers = s.workers[:1]
	return nil
}

// Int8 returns the values of an int8 tensor: an input, to fill in before Run;
// an output; or, with Options.Keep, any tensor after Run. It is nil for a
// tensor of another type and for one that is not kept.
func (s *Session) Int8(tensor int) []int8 {
	n := &s.net.slots[tensor]
	if s.net.graph.Tensors[tensor].Type != graph.Int8 || n.int8s == nil && n.offset < 0 {
		return nil
	}
	return s.i8(tensor)
}

// Float32 is Int8 for a float32 tensor.
func (s *Session) Float32(tensor int) []float32 {
	n := &s.net.slots[tensor]
	if s.net.graph.Tensors[tensor].Type != graph.Float32 || n.float32 == nil && n.offset < 0 {
		return nil
	}
	return s.f32(tensor)
}

// Int32 is Int8 for indices: an int32 tensor, or an int64 one, whose values are
// kept in 32 bits.
func (s *Session) Int32(tensor int) []int32 {
	n := &s.net.slots[tensor]
	if t := s.net.graph.Tensors[tensor].Type; t != graph.Int32 && t != graph.Int64 || n.int32s == nil && n.offset < 0 {
		return nil
	}
	return s.i32(tensor)
}

// Real appends the real values of a tensor to dst, whatever its type: an int8
// tensor's come from its scale and zero point.
func (s *Session) Real(dst []float32, tensor int) ([]float32, error) {
	t := s.net.graph.Tensors[tensor]
	if v := s.Float32(tensor); v != nil {
		return append(dst, v...), nil
	}
	if v := s.Int32(tensor); v != nil {
		for _, x := range v {
			dst = append(dst, float32(x))
		}
		return dst, nil
	}
	v := s.Int8(tensor)
	if v == nil {
		return dst, fmt.Errorf("portable: tensor %d %q (%v) is not kept (set Options.Keep)", tensor, t.Name, t.Type)
	}
	q, err := quantOf(t)
	if err != nil {
		return dst, fmt.Errorf("portable: tensor %d: %w", tensor, err)
	}
	for _, x := range v {
		dst = append(dst, q.real(x))
	}
	return dst, nil
}

func (s *Session) i8(tensor int) []int8 {
	n := &s.net.slots[tensor]
	if n.int8s != nil {
		return n.int8s
	}
	return s.ints[n.offset:][:n.size]
}

func (s *Session) f32(tensor int) []float32 {
	n := &s.net.slots[tensor]
	if n.float32 != nil {
		return n.float32
	}
	return s.floats[n.offset:][:n.size]
}

func (s *Session) i32(tensor int) []int32 {
	n := &s.net.slots[tensor]
	if n.int32s != nil {
		return n.int32s
	}
	return s.longs[n.offset:][:n.size]
}
