package quant

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"mien/runtime/graph"
	"mien/runtime/portable"
)

// Diff is how two graphs differ in one tensor, over all samples.
type Diff struct {
	Name       string
	Type       string // in the second graph
	Shape      []int
	Values     int // compared
	Signal     float64
	Other      float64 // sum of squares in the second graph
	Error      float64 // sum of squares of the difference
	Dot        float64
	MaxError   float64
	NotFinite  int // values of the second graph that are NaN or infinite; they count as 0
	Rows, Same int // of outputs: rows of the last dimension, and those whose largest value is in the same place
	outOfRange int
	samples    []power // of CompareAnswers
}

// SNR is signal power over error power in decibels, +Inf when they are equal, and
// -MaxSNR where the second has values that are not finite.
func (d *Diff) SNR() float64 {
	if d.NotFinite > 0 {
		return -MaxSNR
	}
	if d.Error == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(max(d.Signal, 1e-300)/d.Error)
}

// Samples returns the SNR of each sample of CompareAnswers, in decibels and at most
// MaxSNR. One that is silent in the first graph has none, NaN, unless both are.
func (d *Diff) Samples() []float64 {
	var out []float64
	for _, s := range d.samples {
		switch {
		case s.err == 0:
			out = append(out, MaxSNR)
		case s.signal == 0:
			out = append(out, math.NaN())
		default:
			out = append(out, min(10*math.Log10(s.signal/s.err), MaxSNR))
		}
	}
	return out
}

// Cosine is that of the angle between the two tensors.
func (d *Diff) Cosine() float64 {
	if d.Signal == 0 || d.Other == 0 {
		if d.Signal == d.Other {
			return 1
		}
		return 0
	}
	return d.Dot / math.Sqrt(d.Signal*d.Other)
}

// Saturation is the part of the first graph's values that the second's
// integers cannot reach.
func (d *Diff) Saturation() float64 { return float64(d.outOfRange) / float64(max(d.Values, 1)) }

// Compare runs samples through a and b and compares the activations that go by
// the same name, in the order of a. Floors are those of the plan that made b,
// or nil: values of a below them count as the floor.
func Compare(ctx context.Context, a, b *graph.Graph, floors map[string]float32, samples Samples, o Options) ([]*Diff, error) {
	if samples == nil || samples.Len() == 0 {
		return nil, errors.New("quant: no samples to compare with")
	}
	var pairs [][2]int
	var diffs []*Diff
	for i, t := range a.Tensors {
		k := b.Find(t.Name)
		if t.Const() || k < 0 || b.Tensors[k].Const() || b.Tensors[k].Elems() != t.Elems() {
			continue
		}
		pairs = append(pairs, [2]int{i, k})
		diffs = append(diffs, &Diff{Name: t.Name, Type: b.Tensors[k].Type.String(), Shape: t.Shape})
	}
	if len(pairs) == 0 {
		return nil, errors.New("quant: the two models share no tensor's name")
	}
	other, err := portable.Load(b, portable.Options{Keep: true})
	if err != nil {
		return nil, fmt.Errorf("quant: %w", err)
	}
	// One session of b for each goroutine that runs a; a sample's figures are
	// added up in the order of the samples, so that the sum is always the same.
	type second struct {
		*portable.Session
		feeder
	}
	pool := sync.Pool{New: func() any { return &second{other.NewSession(), feeder{g: b}} }}
	parts := make([][]*Diff, samples.Len())
	tick := o.ticker(samples.Len())
	err = runSamples(ctx, a, samples, o.threads(samples.Len()), func(i int, s *portable.Session) error {
		t := pool.Get().(*second)
		defer pool.Put(t)
		if err := t.feed(t.Session, samples, i); err != nil {
			return err
		}
		t.Run()
		var x, y []float32
		for _, p := range pairs {
			var err error
			if x, err = s.Real(x[:0], p[0]); err != nil {
				return err
			}
			if y, err = t.Real(y[:0], p[1]); err != nil {
				return err
			}
			raise(x, floors, a.Tensors[p[0]].Name)
			d := &Diff{}
			d.add(x, y, b.Tensors[p[1]])
			parts[i] = append(parts[i], d)
		}
		tick()
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		for k, d := range part {
			diffs[k].merge(d)
		}
	}
	return diffs, nil
}

func (d *Diff) add(x, y []float32, t *graph.Tensor) {
	lo, hi := math.Inf(-1), math.Inf(1)
	if t.Type == graph.Int8 && t.Quant != nil && len(t.Quant.Scale) == 1 {
		s, z := float64(t.Quant.Scale[0]), float64(zeroOf(t.Quant))
		lo, hi = s*(-128.5-z), s*(127.5-z)
	}
	d.Values += len(x)
	for i := range x {
		a, b := float64(x[i]), float64(y[i])
		if b-b != 0 {
			b = 0
			d.NotFinite++
		}
		e := a - b
		d.Signal += a * a
		d.Other += b * b
		d.Dot += a * b
		d.Error += e * e
		d.MaxError = max(d.MaxError, math.Abs(e))
		if a < lo || a > hi {
			d.outOfRange++
		}
	}
}

func (d *Diff) merge(o *Diff) {
	d.Values += o.Values
	d.Signal += o.Signal
	d.Other += o.Other
	d.Dot += o.Dot
	d.Error += o.Error
	d.MaxError = max(d.MaxError, o.MaxError)
	d.outOfRange += o.outOfRange
	d.NotFinite += o.NotFinite
}

// Computable returns g in a form that runtime/portable runs: g itself, or, of a
// dynamic-range or int16 model, a float graph with the same weights.
func Computable(g *graph.Graph) (*graph.Graph, error) {
	for _, o := range g.Ops {
		for slot, i := range o.Inputs {
			if i < 0 {
				continue
			}
			t := g.Tensors[i]
			hybrid := slot == 1 && weighted(o) && t.Type == graph.Int8 && g.Tensors[o.Inputs[0]].Type == graph.Float32
			if t.Type == graph.Int16 || hybrid {
				return Dequantised(g)
			}
		}
	}
	return g, nil
}

// Dequantised returns g with every weight in float32, as its integers mean it,
// and every activation in float32.
func Dequantised(g *graph.Graph) (*graph.Graph, error) {
	out := g.Clone()
	for i, t := range out.Tensors {
		if t.Quant == nil {
			continue
		}
		if t.Const() {
			v, err := RealValues(t)
			if err != nil {
				return nil, err
			}
			out.Tensors[i].Data = floatBytes(v)
		}
		t.Type, t.Quant = graph.Float32, nil
	}
	// What converted types now copies: readers go to what was copied.
	source := map[int]int{}
	ops := out.Ops[:0:0]
	for _, o := range out.Ops {
		for k, i := range o.Inputs {
			if s, ok := source[i]; ok {
				o.Inputs[k] = s
			}
		}
		if len(o.Inputs) == 1 && (o.Kind == graph.Quantize || o.Kind == graph.Dequantize) && out.Tensors[o.Inputs[0]].Type == graph.Float32 {
			source[o.Outputs[0]] = o.Inputs[0]
			continue
		}
		o.Version = 1
		ops = append(ops, o)
	}
	out.Ops = ops
	for k, i := range out.Outputs {
		if s, ok := source[i]; ok {
			out.Tensors[s].Name, out.Tensors[i].Name = out.Tensors[i].Name, out.Tensors[s].Name
			out.Outputs[k] = s
		}
	}
	return out, out.Check()
}

// RealValues returns what the stored values of a constant mean.
func RealValues(t *graph.Tensor) ([]float32, error) {
	if t.Type == graph.Float32 {
		return floats(t.Data), nil
	}
	q := t.Quant
	if q == nil || len(q.Scale) == 0 {
		return nil, fmt.Errorf("quant: tensor %s (%s) has no scale", t.Name, t.Type)
	}
	scale, err := scaleOf(&TensorPlan{Name: t.Name, Scale: q.Scale, Axis: q.Axis}, t.Shape)
	if err != nil {
		return nil, err
	}
	zero := zeroOf(q)
	out := make([]float32, t.Elems())
	for i := range out {
		var v int64
		switch t.Type {
		case graph.Int8:
			v = int64(int8(t.Data[i]))
		case graph.UInt8:
			v = int64(t.Data[i])
		case graph.Int16:
			v = int64(int16(binary.LittleEndian.Uint16(t.Data[2*i:])))
		case graph.Int32:
			v = int64(int32(binary.LittleEndian.Uint32(t.Data[4*i:])))
		case graph.Int64:
			v = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
		default:
			return nil, fmt.Errorf("quant: tensor %s is %s", t.Name, t.Type)
		}
		out[i] = float32(float64(v-zero) * float64(scale(i)))
	}
	return out, nil
}
