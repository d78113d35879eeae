// Package kernel holds the inner loops of training on float32 slices. The
// doc comment of a kernel is its Go loop; processors with AVX2 or AVX-512 run
// assembly that is proven against that loop.
//
// Pictures and activations are rows of channels (NHWC): a slice of r*c values
// is r rows of c channels.
package kernel

import "math"

// ELU replaces x[i] by exp(x[i])-1 where it is negative.
func ELU(x []float32) {
	n := len(x) / cpu.lanes
	if n > 0 {
		cpu.elu(n, &x[0])
	}
	eluGo(x[n*cpu.lanes:])
}

func eluGo(x []float32) {
	for i, v := range x {
		if v < 0 {
			x[i] = float32(math.Expm1(float64(v)))
		}
	}
}

// ELUGrad multiplies g[i] by the derivative of ELU, given its output y:
//
//	g[i] *= min(y[i], 0) + 1
func ELUGrad(g, y []float32) {
	n := len(g) / cpu.lanes
	if n > 0 {
		cpu.eluGrad(n, &g[0], &y[:len(g)][0])
	}
	eluGradGo(g[n*cpu.lanes:], y[n*cpu.lanes:])
}

func eluGradGo(g, y []float32) {
	y = y[:len(g)]
	for i, v := range y {
		g[i] *= min(v, 0) + 1
	}
}

// Clamp limits x[i] to between 0 and limit.
func Clamp(x []float32, limit float32) {
	n := len(x) / cpu.lanes
	if n > 0 {
		cpu.clamp(n, &x[0], limit)
	}
	clampGo(x[n*cpu.lanes:], limit)
}

func clampGo(x []float32, limit float32) {
	for i, v := range x {
		if v < 0 {
			x[i] = 0
		} else if v > limit {
			x[i] = limit
		}
	}
}

// ClampGrad zeroes g[i] where y[i], the output of Clamp, lies at a limit.
func ClampGrad(g, y []float32, limit float32) {
	n := len(g) / cpu.lanes
	if n > 0 {
		cpu.clampGrad(n, &g[0], &y[:len(g)][0], limit)
	}
	clampGradGo(g[n*cpu.lanes:], y[n*cpu.lanes:], limit)
}

func clampGradGo(g, y []float32, limit float32) {
	y = y[:len(g)]
	for i, v := range y {
		if !(v > 0 && v < limit) {
			g[i] = 0
		}
	}
}

// SumRows adds every row of x to sum: sum[i%c] += x[i], c = len(sum).
func SumRows(sum, x []float32) {
	c := len(sum)
	for n, v := slab(x, c); n > 0; n, v = slab(x, c) {
		cpu.sumRows(n, v, &x[0], &sum[0])
		x = x[n*c:]
	}
	sumRowsGo(sum, x)
}

func sumRowsGo(sum, x []float32) {
	c := len(sum)
	for ; len(x) >= c; x = x[c:] {
		for j, v := range x[:c] {
			sum[j] += v
		}
	}
}

// AddRow adds v to every row of x: x[i] += v[i%c], c = len(v).
func AddRow(x, v []float32) {
	c := len(v)
	for n, w := slab(x, c); n > 0; n, w = slab(x, c) {
		cpu.addRow(n, w, &x[0], &v[0])
		x = x[n*c:]
	}
	addRowGo(x, v)
}

func addRowGo(x, v []float32) {
	c := len(v)
	for ; len(x) >= c; x = x[c:] {
		for j, s := range v {
			x[j] += s
		}
	}
}

// Moments adds, channel by channel, d = x - shift to sum and d*d to sq:
//
//	d := x[i] - shift[i%c]
//	sum[i%c] += d
//	sq[i%c] += d * d
func Moments(sum, sq, x, shift []float32) {
	c := len(sum)
	sq, shift = sq[:c], shift[:c]
	for n, v := slab(x, c); n > 0; n, v = slab(x, c) {
		cpu.moments(n, v, &x[0], &sum[0], &sq[0], &shift[0])
		x = x[n*c:]
	}
	momentsGo(sum, sq, x, shift)
}

func momentsGo(sum, sq, x, shift []float32) {
	c := len(sum)
	sq, shift = sq[:c], shift[:c]
	for ; len(x) >= c; x = x[c:] {
		for j, v := range x[:c] {
			d := v - shift[j]
			sum[j] += d
			sq[j] += d * d
		}
	}
}

// Affine is y[i] = x[i]*scale[i%c] + shift[i%c].
func Affine(y, x, scale, shift []float32) {
	c := len(scale)
	y, shift = y[:len(x)], shift[:c]
	for n, v := slab(x, c); n > 0; n, v = slab(x, c) {
		cpu.affine(n, v, &y[0], &x[0], &scale[0], &shift[0])
		x, y = x[n*c:], y[n*c:]
	}
	affineGo(y, x, scale, shift)
}

func affineGo(y, x, scale, shift []float32) {
	c := len(scale)
	shift = shift[:c]
	for ; len(x) >= c; x, y = x[c:], y[c:] {
		o := y[:c]
		for j, v := range x[:c] {
			o[j] = v*scale[j] + shift[j]
		}
	}
}

// GradMoments adds, channel by channel, g to sum and g*(x-mean) to dot.
func GradMoments(sum, dot, g, x, mean []float32) {
	c := len(sum)
	x, dot, mean = x[:len(g)], dot[:c], mean[:c]
	for n, v := slab(g, c); n > 0; n, v = slab(g, c) {
		cpu.gradMoments(n, v, &g[0], &x[0], &sum[0], &dot[0], &mean[0])
		g, x = g[n*c:], x[n*c:]
	}
	gradMomentsGo(sum, dot, g, x, mean)
}

func gradMomentsGo(sum, dot, g, x, mean []float32) {
	c := len(sum)
	dot, mean = dot[:c], mean[:c]
	for ; len(g) >= c; g, x = g[c:], x[c:] {
		xr := x[:c]
		for j, v := range g[:c] {
			sum[j] += v
			dot[j] += v * (xr[j] - mean[j])
		}
	}
}

// Affine2 is g[i] = g[i]*a[i%c] + x[i]*b[i%c] + d[i%c].
func Affine2(g, x, a, b, d []float32) {
	c := len(a)
	x, b, d = x[:len(g)], b[:c], d[:c]
	for n, v := slab(g, c); n > 0; n, v = slab(g, c) {
		cpu.affine2(n, v, &g[0], &x[0], &a[0], &b[0], &d[0])
		g, x = g[n*c:], x[n*c:]
	}
	affine2Go(g, x, a, b, d)
}

func affine2Go(g, x, a, b, d []float32) {
	c := len(a)
	b, d = b[:c], d[:c]
	for ; len(g) >= c; g, x = g[c:], x[c:] {
		gr, xr := g[:c], x[:c]
		for j, v := range gr {
			gr[j] = v*a[j] + xr[j]*b[j] + d[j]
		}
	}
}

// Drop zeroes a share of x and scales the rest. Which elements, depends on
// key and i alone:
//
//	if hash(uint32(i), key) < limit { x[i] = 0 } else { x[i] *= scale }
func Drop(x []float32, key uint64, limit uint32, scale float32) {
	k0, k1 := uint32(key), uint32(key>>32)
	n := len(x) / cpu.lanes
	if n > 0 {
		cpu.drop(n, &x[0], k0, k1, limit, scale)
	}
	n *= cpu.lanes
	dropGo(x[n:], n, k0, k1, limit, scale)
}

func dropGo(x []float32, first int, k0, k1, limit uint32, scale float32) {
	for i := range x {
		if hash(uint32(first+i), k0, k1) < limit {
			x[i] = 0
		} else {
			x[i] *= scale
		}
	}
}

// hash mixes a counter with two key words: the 32-bit finaliser with the
// constants found by C. Wellons' hash-prospector, twice.
func hash(i, k0, k1 uint32) uint32 { return mix(mix(i^k0) + k1) }

const (
	mixA = 0x7feb352d
	mixB = 0x846ca68b
)

func mix(x uint32) uint32 {
	x ^= x >> 16
	x *= mixA
	x ^= x >> 15
	x *= mixB
	return x ^ x>>16
}

// Adam updates one parameter by PyTorch's formula (decoupled decay, AdamW):
//
//	p[i] *= keep
//	m[i] += (g[i] - m[i]) * (1 - beta1)
//	v[i] = v[i]*beta2 + g[i]*g[i]*(1-beta2)
//	p[i] -= step * m[i] / (sqrt(v[i])*root + eps)
func Adam(p, g, m, v []float32, a AdamStep) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	n := len(p) / cpu.lanes
	if n > 0 {
		cpu.adam(n, &p[0], &g[0], &m[0], &v[0], a.InvBeta1, a.Beta2, a.InvBeta2, a.Step, a.Root, a.Eps, a.Keep)
	}
	n *= cpu.lanes
	adamGo(p[n:], g[n:], m[n:], v[n:], a)
}

func adamGo(p, g, m, v []float32, a AdamStep) {
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i, d := range g {
		mi := m[i] + (d-m[i])*a.InvBeta1
		vi := v[i]*a.Beta2 + d*d*a.InvBeta2
		m[i], v[i] = mi, vi
		p[i] = p[i]*a.Keep - a.Step*mi/(float32(math.Sqrt(float64(vi)))*a.Root+a.Eps)
	}
}

// AdamStep holds the constants of one update: InvBeta = 1-beta, Step the
// learning rate over 1-beta1^t, Root 1/sqrt(1-beta2^t), Keep 1-lr*decay.
type AdamStep struct{ InvBeta1, Beta2, InvBeta2, Step, Root, Eps, Keep float32 }

// MulAdd is y[i] += a[i] * b[i].
func MulAdd(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] += a[i] * b[i]
	}
}

// Add is y[i] += x[i].
func Add(y, x []float32) {
	x = x[:len(y)]
	n := len(y) / cpu.lanes
	if n > 0 {
		cpu.add(n, &y[0], &x[0])
	}
	addGo(y[n*cpu.lanes:], x[n*cpu.lanes:])
}

func addGo(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += v
	}
}
