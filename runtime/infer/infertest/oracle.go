package infertest

import (
	"fmt"
	"math"

	"mien/runtime/graph"
)

// Eval runs a float32 graph in float64, one plain loop an operator, and
// returns the value of every tensor. It is the oracle that the engines are
// held against, so it is written to be read, not to be fast.
func Eval(g *graph.Graph, input []float64) ([][]float64, error) {
	v := make([][]float64, len(g.Tensors))
	for i, t := range g.Tensors {
		if t.Const() {
			v[i] = floats(t.Data)
		}
	}
	v[g.Inputs[0]] = input
	for _, op := range g.Ops {
		in, out := v[op.Inputs[0]], make([]float64, g.Tensors[op.Outputs[0]].Elems())
		is, os := g.Tensors[op.Inputs[0]].Shape, g.Tensors[op.Outputs[0]].Shape
		switch o := op.Options.(type) {
		case graph.ConvOptions:
			conv(out, os, in, is, v[op.Inputs[1]], g.Tensors[op.Inputs[1]].Shape, v[op.Inputs[2]], o)
		case graph.DepthwiseOptions:
			for i, x := range in {
				c := i % is[3]
				out[i] = x*v[op.Inputs[1]][c] + v[op.Inputs[2]][c]
			}
		case graph.PoolOptions:
			pool(out, os, in, is, o)
		case graph.FullyConnectedOptions:
			w := v[op.Inputs[1]]
			for i := range out {
				out[i] = v[op.Inputs[2]][i]
				for k, x := range in {
					out[i] += x * w[i*len(in)+k]
				}
			}
		case graph.SoftmaxOptions:
			var sum float64
			for i, x := range in {
				out[i] = math.Exp(float64(o.Beta) * x)
				sum += out[i]
			}
			for i := range out {
				out[i] /= sum
			}
		default:
			if op.Kind != graph.Elu {
				return nil, fmt.Errorf("infertest: the oracle has no operator %d", op.Kind)
			}
			for i, x := range in {
				out[i] = x
				if x < 0 {
					out[i] = math.Expm1(x)
				}
			}
		}
		v[op.Outputs[0]] = out
	}
	return v, nil
}

func conv(out []float64, os []int, in []float64, is []int, w []float64, ws []int, bias []float64, o graph.ConvOptions) {
	padY, padX := 0, 0
	if o.Padding == graph.Same {
		padY = max((os[1]-1)*o.StrideH+ws[1]-is[1], 0) / 2
		padX = max((os[2]-1)*o.StrideW+ws[2]-is[2], 0) / 2
	}
	for y := range os[1] {
		for x := range os[2] {
			for c := range os[3] {
				sum := bias[c]
				for ky := range ws[1] {
					for kx := range ws[2] {
						iy, ix := y*o.StrideH+ky-padY, x*o.StrideW+kx-padX
						if iy < 0 || iy >= is[1] || ix < 0 || ix >= is[2] {
							continue
						}
						for k := range is[3] {
							sum += in[(iy*is[2]+ix)*is[3]+k] * w[((c*ws[1]+ky)*ws[2]+kx)*is[3]+k]
						}
					}
				}
				out[(y*os[2]+x)*os[3]+c] = sum
			}
		}
	}
}

func pool(out []float64, os []int, in []float64, is []int, o graph.PoolOptions) {
	for y := range os[1] {
		for x := range os[2] {
			for c := range os[3] {
				best := math.Inf(-1)
				for ky := range o.FilterH {
					for kx := range o.FilterW {
						best = max(best, in[((y*o.StrideH+ky)*is[2]+x*o.StrideW+kx)*is[3]+c])
					}
				}
				out[(y*os[2]+x)*os[3]+c] = best
			}
		}
	}
}
