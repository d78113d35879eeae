package nn

import (
	"cmp"
	"math"

	"mien/train/arch"
	"mien/train/nn/internal/kernel"
)

// reference computes the loss of a network in float64 with the plainest
// loops there are, pictures as [n][c][h][w]. It shares nothing with the
// package but the dropout's random numbers.
type reference struct {
	net    arch.Net
	params map[string][]float64
	n      int
	key    uint64
	logits [][]float64
}

type volume struct {
	n, c, h, w int
	v          []float64
}

func newVolume(n, c, h, w int) volume { return volume{n, c, h, w, make([]float64, n*c*h*w)} }

func (v volume) at(i, c, y, x int) *float64 { return &v.v[((i*v.c+c)*v.h+y)*v.w+x] }

func (r *reference) loss(b *Batch, lossWeights []float64) float64 {
	r.n = b.N
	x := newVolume(b.N, 1, 50, 50)
	for i := range x.v {
		x.v[i] = float64(b.X[i])
	}
	named := map[string]volume{"input": x}
	for i, l := range r.net.Body {
		in := x
		if l.Input != "" {
			in = named[l.Input]
		}
		x = r.layer(i, l, in, named)
		named[l.Name] = x
	}
	total := 0.0
	r.logits = nil
	for k, h := range r.net.Heads {
		z := r.dense(h.Name, len(h.Labels), x)
		r.logits = append(r.logits, z.v)
		total += lossWeights[k] * refCrossEntropy(z, b.Target[k], b.Weight[k])
	}
	return total
}

func refCrossEntropy(z volume, target, weight []float32) float64 {
	sum, mass := 0.0, 0.0
	for i := range z.n {
		s := 0.0
		for j := range z.c {
			s += math.Exp(*z.at(i, j, 0, 0))
		}
		for j := range z.c {
			sum += float64(weight[i]) * float64(target[i*z.c+j]) * (math.Log(s) - *z.at(i, j, 0, 0))
		}
		mass += float64(weight[i])
	}
	if mass == 0 {
		return 0
	}
	return sum / mass
}

func (r *reference) layer(i int, l arch.Layer, in volume, named map[string]volume) volume {
	switch l.Op {
	case arch.Conv:
		return r.conv(l, in, l.Out, false)
	case arch.Depthwise:
		return r.conv(l, in, in.c, true)
	case arch.BatchNorm:
		return r.norm(l, in)
	case arch.ELU:
		return each(in, func(v float64) float64 { return max(v, 0) + math.Expm1(min(v, 0)) })
	case arch.ReLU:
		return each(in, func(v float64) float64 { return max(v, 0) })
	case arch.ReLU6:
		return each(in, func(v float64) float64 { return min(max(v, 0), 6) })
	case arch.MaxPool:
		return refPool(l.Kernel, cmp.Or(l.Stride, l.Kernel), in)
	case arch.Mean:
		out := newVolume(in.n, in.c, 1, 1)
		for i, v := range in.v {
			out.v[i/(in.h*in.w)] += v / float64(in.h*in.w)
		}
		return out
	case arch.Flatten:
		return volume{in.n, in.c * in.h * in.w, 1, 1, in.v}
	case arch.Dense:
		return r.dense(l.Name, l.Out, in)
	case arch.Dropout:
		return r.drop(i, l.Rate, in)
	case arch.Concat:
		other := named[l.With]
		out := newVolume(in.n, in.c+other.c, in.h, in.w)
		for i := range in.n {
			copy(out.v[i*out.c*in.h*in.w:], in.v[i*in.c*in.h*in.w:][:in.c*in.h*in.w])
			copy(out.v[(i*out.c+in.c)*in.h*in.w:], other.v[i*other.c*in.h*in.w:][:other.c*in.h*in.w])
		}
		return out
	case arch.Pad, arch.Upsample:
		k, n := max(l.Kernel, 1), l.Pad
		out := newVolume(in.n, in.c, in.h*k+2*n, in.w*k+2*n)
		for o := range out.v {
			x, y, c, i := o%out.w-n, o/out.w%out.h-n, o/out.w/out.h%out.c, o/out.w/out.h/out.c
			if x >= 0 && y >= 0 && x < in.w*k && y < in.h*k {
				out.v[o] = *in.at(i, c, y/k, x/k)
			}
		}
		return out
	case arch.Add:
		out, other := newVolume(in.n, in.c, in.h, in.w), named[l.With]
		for i, v := range in.v {
			out.v[i] = v + other.v[i]
		}
		return out
	}
	panic("unknown layer " + l.Op)
}

func each(in volume, f func(float64) float64) volume {
	out := newVolume(in.n, in.c, in.h, in.w)
	for i, v := range in.v {
		out.v[i] = f(v)
	}
	return out
}

func (r *reference) conv(l arch.Layer, in volume, co int, depthwise bool) volume {
	k, s := l.Kernel, max(l.Stride, 1)
	oh, ow := (in.h+s-1)/s, (in.w+s-1)/s
	top, left := max((oh-1)*s+k-in.h, 0)/2, max((ow-1)*s+k-in.w, 0)/2
	if l.Valid {
		oh, ow, top, left = (in.h-k)/s+1, (in.w-k)/s+1, 0, 0
	}
	w, b := r.params[l.Name+".weight"], r.params[l.Name+".bias"]
	group := in.c
	if depthwise {
		group = 1
	}
	out := newVolume(in.n, co, oh, ow)
	for o := range out.v {
		x, y, c, i := o%ow, o/ow%oh, o/ow/oh%co, o/ow/oh/co
		if b != nil {
			out.v[o] = b[c]
		}
		first := 0
		if depthwise {
			first = c
		}
		for t := range k * k {
			iy, ix := y*s+t/k-top, x*s+t%k-left
			if iy < 0 || iy >= in.h || ix < 0 || ix >= in.w {
				continue
			}
			for g := range group {
				out.v[o] += w[(c*group+g)*k*k+t] * *in.at(i, first+g, iy, ix)
			}
		}
	}
	return out
}

func (r *reference) norm(l arch.Layer, in volume) volume {
	out := newVolume(in.n, in.c, in.h, in.w)
	m := float64(in.n * in.h * in.w)
	for c := range in.c {
		mean, variance := 0.0, 0.0
		in.channel(c, func(o int) { mean += in.v[o] / m })
		in.channel(c, func(o int) { variance += (in.v[o] - mean) * (in.v[o] - mean) / m })
		if l.Frozen {
			mean, variance = r.params[l.Name+".running_mean"][c], r.params[l.Name+".running_var"][c]
		}
		g, b := r.params[l.Name+".weight"][c], r.params[l.Name+".bias"][c]
		in.channel(c, func(o int) { out.v[o] = g*(in.v[o]-mean)/math.Sqrt(variance+1e-3) + b })
	}
	return out
}

func (v volume) channel(c int, f func(o int)) {
	for i := range v.n {
		for p := range v.h * v.w {
			f((i*v.c+c)*v.h*v.w + p)
		}
	}
}

func refPool(k, s int, in volume) volume {
	out := newVolume(in.n, in.c, (in.h-k)/s+1, (in.w-k)/s+1)
	for o := range out.v {
		x, y, c, i := o%out.w, o/out.w%out.h, o/out.w/out.h%out.c, o/out.w/out.h/out.c
		out.v[o] = math.Inf(-1)
		for t := range k * k {
			out.v[o] = max(out.v[o], *in.at(i, c, y*s+t/k, x*s+t%k))
		}
	}
	return out
}

func (r *reference) dense(name string, co int, in volume) volume {
	k := in.c * in.h * in.w
	out := newVolume(in.n, co, 1, 1)
	w, b := r.params[name+".weight"], r.params[name+".bias"]
	for o := range out.v {
		if b != nil {
			out.v[o] = b[o%co]
		}
		for p := range k {
			out.v[o] += w[o%co*k+p] * in.v[o/co*k+p]
		}
	}
	return out
}

// drop asks the kernel for its mask, in the kernel's order of channels.
func (r *reference) drop(i int, rate float64, in volume) volume {
	d := newDropout(nil, i, rate, nil)
	d.key = r.key
	out := newVolume(in.n, in.c, in.h, in.w)
	mask := make([]float32, in.c*in.h*in.w)
	for i := range in.n {
		for j := range mask {
			mask[j] = 1
		}
		kernel.Drop(mask, splitmix(d.key^splitmix(d.seed+uint64(i))), d.limit, d.scale)
		for c := range in.c {
			for p := range in.h * in.w {
				o := (i*in.c+c)*in.h*in.w + p
				out.v[o] = in.v[o] * float64(mask[p*in.c+c])
			}
		}
	}
	return out
}
