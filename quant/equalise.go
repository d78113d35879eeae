package quant

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"mien/runtime/graph"
)

// Equalised records one cross-layer equalisation: channel c of what layer From
// computes is divided by Factors[c], and layer To multiplies it back in its
// weights.
type Equalised struct {
	From    string    `json:"from"`
	To      string    `json:"to"`
	Factors []float32 `json:"factors"`
}

// PlanEqualisation finds the pairs of layers between which channels can be
// rescaled without changing what the graph computes, and the factors that give
// each channel the same share of the range (after Nagel et al. 2019,
// "Data-free quantization through weight equalization and bias correction",
// with the activation's measured range in the place of the first layer's
// weights, whose channels have scales of their own here).
//
// Between two layers may only be what a positive factor passes through: max
// and mean pools, ReLU. ELU is none of these, so a convolution before an ELU
// is left alone; the batch norm after it is a layer and is equalised with the
// convolution or dense layer that reads it.
func PlanEqualisation(g *graph.Graph, stats *Stats) []Equalised {
	var out []Equalised
	for _, from := range g.Ops {
		to := partner(g, from)
		if to == nil {
			continue
		}
		name := g.Tensors[from.Outputs[0]].Name
		s := stats.Tensors[name]
		if s == nil {
			continue
		}
		if f := factors(s.Peak, inputPeaks(g, to, len(s.Peak))); f != nil {
			out = append(out, Equalised{name, g.Tensors[to.Outputs[0]].Name, f})
		}
	}
	return out
}

// partner returns the only layer with weights that reads what from computes,
// through operators that a positive factor passes.
func partner(g *graph.Graph, from *graph.Op) *graph.Op {
	if !weighted(from) || !homogeneous(from.Fused()) || len(from.Inputs) < 2 {
		return nil
	}
	at := from.Outputs[0]
	for {
		next := reader(g, at)
		if next == nil || next.Inputs[0] != at {
			return nil
		}
		switch known := operatorOf(next); {
		case known.Homogeneous && mixesChannels(g, next):
			return nil
		case known.Homogeneous && homogeneous(next.Fused()):
			at = next.Outputs[0]
		case known.Weights == nil || !g.Tensors[next.Inputs[1]].Const():
			return nil
		case known.Weights.In >= 0:
			return next
		default: // each channel has a filter of its own
			if o, ok := next.Options.(graph.DepthwiseOptions); ok && o.Multiplier == 1 {
				return next
			}
			return nil
		}
	}
}

// mixesChannels says whether a mean or sum goes over the last dimension.
func mixesChannels(g *graph.Graph, o *graph.Op) bool {
	if _, reduces := o.Options.(graph.ReduceOptions); !reduces {
		return false
	}
	last := len(g.Tensors[o.Inputs[0]].Shape) - 1
	axes := g.Tensors[o.Inputs[1]]
	for i := 0; i+4 <= len(axes.Data); i += 4 {
		if a := int(int32(binary.LittleEndian.Uint32(axes.Data[i:]))); a == last || a == -1 {
			return true
		}
	}
	return !axes.Const()
}

func homogeneous(a graph.Activation) bool { return a == graph.None || a == graph.ReluAct }

// reader returns the one operator that reads a tensor; nil when there are
// several, or when it is an output.
func reader(g *graph.Graph, tensor int) *graph.Op {
	if slices.Contains(g.Outputs, tensor) {
		return nil
	}
	var found *graph.Op
	for _, o := range g.Ops {
		if slices.Contains(o.Inputs, tensor) {
			if found != nil {
				return nil
			}
			found = o
		}
	}
	return found
}

// inputPeaks returns the largest weight on each of n input channels. The
// channel is the last dimension of the weights; a dense layer that flattens
// a picture has it repeated.
func inputPeaks(g *graph.Graph, o *graph.Op, n int) []float32 {
	out := make([]float32, n)
	for i, w := range floats(g.Tensors[o.Inputs[1]].Data) {
		out[i%n] = max(out[i%n], max(w, -w))
	}
	return out
}

// maxFactor keeps single odd channels from ruling.
const maxFactor = 8

func factors(activation, weights []float32) []float32 {
	out := make([]float32, len(activation))
	logs := 0.0
	for c := range out {
		out[c] = 1
		if activation[c] > 0 && weights[c] > 0 {
			out[c] = float32(math.Sqrt(float64(activation[c]) / float64(weights[c])))
		}
		logs += math.Log(float64(out[c]))
	}
	mean := float32(math.Exp(logs / float64(len(out))))
	for c := range out {
		out[c] = min(max(out[c]/mean, 1./maxFactor), maxFactor)
	}
	return out
}

// Equalise returns g with the given equalisations carried out. It computes
// what g does, up to rounding.
func Equalise(g *graph.Graph, pairs []Equalised) (*graph.Graph, error) {
	if len(pairs) == 0 {
		return g, nil
	}
	g = g.Clone()
	for _, e := range pairs {
		from, to := layer(g, e.From), layer(g, e.To)
		if from == nil || to == nil || partner(g, from) != to {
			return nil, fmt.Errorf("quant: plan: layers %s and %s cannot be equalised in this graph", e.From, e.To)
		}
		if n := channelsOf(g.Tensors[from.Outputs[0]]); len(e.Factors) != n {
			return nil, fmt.Errorf("quant: plan: %d factors for the %d channels of %s", len(e.Factors), n, e.From)
		}
		for _, f := range e.Factors {
			if !(f > 0) || f-f != 0 {
				return nil, fmt.Errorf("quant: plan: %s has the factor %v", e.From, f)
			}
		}
		rescale(g, from, to, e.Factors)
	}
	return g, nil
}

// layer returns the operator whose output is called so.
func layer(g *graph.Graph, name string) *graph.Op {
	for _, o := range g.Ops {
		if g.Tensors[o.Outputs[0]].Name == name {
			return o
		}
	}
	return nil
}

func rescale(g *graph.Graph, from, to *graph.Op, f []float32) {
	w := floats(g.Tensors[from.Inputs[1]].Data)
	per := len(w) / len(f)
	for i := range w {
		c := i / per // OHWI, or a row of a dense layer
		if from.Kind == graph.DepthwiseConv2D {
			c = i % len(f)
		}
		w[i] /= f[c]
	}
	g.Tensors[from.Inputs[1]].Data = floatBytes(w)
	if at := biasOf(from); at >= 0 {
		b := floats(g.Tensors[at].Data)
		for i := range b {
			b[i] /= f[i]
		}
		g.Tensors[at].Data = floatBytes(b)
	}
	w = floats(g.Tensors[to.Inputs[1]].Data)
	for i := range w {
		w[i] *= f[i%len(f)]
	}
	g.Tensors[to.Inputs[1]].Data = floatBytes(w)
}
