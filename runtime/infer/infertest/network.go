package infertest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/model"
)

// Network returns a small face network with weights drawn from seed: a
// convolution, ELU, batch normalisation as an operator of its own, a strided
// convolution without padding, pools, a dense layer and the given heads. It
// has every operator of the paper's network and runs a thousand times faster.
func Network(seed uint64, heads ...model.Head) *graph.Graph {
	b := &builder{g: &graph.Graph{Name: "infertest"}, rng: rand.New(rand.NewPCG(seed, 1))}
	b.out = b.tensor(model.InputName, 1, model.Side, model.Side, 1)
	b.g.Inputs = []int{b.out}
	b.conv(5, 8, 1, graph.Same)
	b.elu()
	b.norm()
	b.pool()
	b.conv(3, 8, 2, graph.Valid)
	b.elu()
	b.pool()
	b.dense("", 16)
	b.elu()
	trunk := b.out
	for _, h := range heads {
		b.out = trunk
		b.dense(h.Name+"/logits", len(h.Labels))
		b.op(graph.Softmax, graph.SoftmaxOptions{Beta: 1}, b.tensor(h.Name, 1, len(h.Labels)))
		b.g.Outputs = append(b.g.Outputs, b.out)
	}
	return b.g
}

// builder appends operators to g; out is the tensor that the next one reads.
type builder struct {
	g   *graph.Graph
	rng *rand.Rand
	out int
}

func (b *builder) tensor(name string, shape ...int) int {
	if name == "" {
		name = "t" + string(rune('a'+len(b.g.Tensors)%26)) + string(rune('a'+len(b.g.Tensors)/26))
	}
	b.g.Tensors = append(b.g.Tensors, &graph.Tensor{Name: name, Shape: shape})
	return len(b.g.Tensors) - 1
}

// weights adds a constant with He-normal values: variance 2 / fan-in.
func (b *builder) weights(fanIn float64, mean float64, shape ...int) int {
	i := b.tensor("", shape...)
	t := b.g.Tensors[i]
	v := make([]float32, t.Elems())
	for k := range v {
		v[k] = float32(mean + b.rng.NormFloat64()*math.Sqrt(2/fanIn))
	}
	t.Data = floatBytes(v)
	return i
}

// op appends an operator that reads b.out and then more, and writes out.
func (b *builder) op(k graph.Kind, o graph.Options, out int, more ...int) {
	b.g.Ops = append(b.g.Ops, &graph.Op{Kind: k, Version: 1, Options: o,
		Inputs: append([]int{b.out}, more...), Outputs: []int{out}})
	b.out = out
}

func (b *builder) shape() []int { return b.g.Tensors[b.out].Shape }

func (b *builder) conv(size, channels, stride int, pad graph.Padding) {
	in := b.shape()
	h, w := in[1]/stride, in[2]/stride
	if pad == graph.Valid {
		h, w = (in[1]-size)/stride+1, (in[2]-size)/stride+1
	}
	filter := b.weights(float64(size*size*in[3]), 0, channels, size, size, in[3])
	bias := b.weights(50, 0, channels)
	b.op(graph.Conv2D, graph.ConvOptions{Padding: pad, StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1},
		b.tensor("", 1, h, w, channels), filter, bias)
}

func (b *builder) elu() { b.op(graph.Elu, nil, b.tensor("", slices.Clone(b.shape())...)) }

// norm is batch normalisation: a scale and a shift for each channel.
func (b *builder) norm() {
	in := slices.Clone(b.shape())
	scale := b.weights(100, 1, 1, 1, 1, in[3])
	shift := b.weights(10, 0, in[3])
	b.op(graph.DepthwiseConv2D, graph.DepthwiseOptions{Padding: graph.Same, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, Multiplier: 1}, b.tensor("", in...), scale, shift)
}

func (b *builder) pool() {
	in := b.shape()
	b.op(graph.MaxPool2D, graph.PoolOptions{Padding: graph.Valid, StrideH: 2, StrideW: 2, FilterH: 2, FilterW: 2},
		b.tensor("", 1, in[1]/2, in[2]/2, in[3]))
}

func (b *builder) dense(name string, n int) {
	fanIn := b.g.Tensors[b.out].Elems()
	filter := b.weights(float64(fanIn), 0, n, fanIn)
	bias := b.weights(50, 0, n)
	b.op(graph.FullyConnected, graph.FullyConnectedOptions{}, b.tensor(name, 1, n), filter, bias)
}

func floatBytes(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, f := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
	}
	return out
}

func floats(b []byte) []float64 {
	out := make([]float64, len(b)/4)
	for i := range out {
		out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return out
}
