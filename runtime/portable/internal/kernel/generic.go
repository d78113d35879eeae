package kernel

import "math"

// Go is the set in Go, which runs everywhere and defines all others.
var Go = &Set{
	Name: "go",
	Int8: Int8{
		Pack:   Pack{MR: 1, NR: 4, Panel: 4, Group: 1, Round: 1, Align: 4},
		Elem:   1,
		Lowest: -128,
		Load:   func(dst, src []int8) { copy(dst, src) },
		Tile:   tileInt8,
	},
	Float32: Float32{
		Pack: Pack{MR: 1, NR: 4, Panel: 4, Group: 1, Round: 1, Align: 4},
		Tile: tileFloat32,
	},
	Requant:      requant,
	Affine:       affine,
	Lookup:       lookup,
	MaxInt8:      maxInt8,
	AddInt8:      addInt8,
	SumInt8:      sumInt8,
	DepthInt8:    depthInt8,
	Finish:       finish,
	Scale:        scale,
	Elu:          elu,
	MaxFloat32:   maxFloat32,
	AddFloat32:   addFloat32,
	DepthFloat32: depthFloat32,
}

func tileInt8(t *TileInt8, _, _ int) {
	var s0, s1, s2, s3 int32
	w := t.W
	for r := range t.Runs {
		x := t.A[r*t.RunStep:][:t.RunLen]
		for len(x) >= 4 && len(w) >= 16 { // four values without checks between
			a, q := (*[4]int8)(x), (*[16]int8)(w)
			v := int32(a[0])
			s0 += v * int32(q[0])
			s1 += v * int32(q[1])
			s2 += v * int32(q[2])
			s3 += v * int32(q[3])
			v = int32(a[1])
			s0 += v * int32(q[4])
			s1 += v * int32(q[5])
			s2 += v * int32(q[6])
			s3 += v * int32(q[7])
			v = int32(a[2])
			s0 += v * int32(q[8])
			s1 += v * int32(q[9])
			s2 += v * int32(q[10])
			s3 += v * int32(q[11])
			v = int32(a[3])
			s0 += v * int32(q[12])
			s1 += v * int32(q[13])
			s2 += v * int32(q[14])
			s3 += v * int32(q[15])
			x, w = x[4:], w[16:]
		}
		for _, v := range x {
			a, q := int32(v), (*[4]int8)(w)
			s0 += a * int32(q[0])
			s1 += a * int32(q[1])
			s2 += a * int32(q[2])
			s3 += a * int32(q[3])
			w = w[4:]
		}
	}
	acc := t.Acc[:4]
	acc[0], acc[1], acc[2], acc[3] = s0, s1, s2, s3
}

func tileFloat32(t *TileFloat32, _, _ int) {
	var s0, s1, s2, s3 float32
	w := t.W
	for r := range t.Runs {
		x := t.A[r*t.RunStep:][:t.RunLen]
		for len(x) >= 4 && len(w) >= 16 { // four values without checks between
			a, q := (*[4]float32)(x), (*[16]float32)(w)
			v := a[0]
			s0 += v * q[0]
			s1 += v * q[1]
			s2 += v * q[2]
			s3 += v * q[3]
			v = a[1]
			s0 += v * q[4]
			s1 += v * q[5]
			s2 += v * q[6]
			s3 += v * q[7]
			v = a[2]
			s0 += v * q[8]
			s1 += v * q[9]
			s2 += v * q[10]
			s3 += v * q[11]
			v = a[3]
			s0 += v * q[12]
			s1 += v * q[13]
			s2 += v * q[14]
			s3 += v * q[15]
			x, w = x[4:], w[16:]
		}
		for _, v := range x {
			a, q := v, (*[4]float32)(w)
			s0 += a * q[0]
			s1 += a * q[1]
			s2 += a * q[2]
			s3 += a * q[3]
			w = w[4:]
		}
	}
	acc := t.Acc[:4]
	acc[0], acc[1], acc[2], acc[3] = s0, s1, s2, s3
}

func requant(dst []int8, acc []int32, e *Epilogue, n, channels, dstStep, accStep int) {
	for p := range n {
		out, sums := dst[p*dstStep:][:channels], acc[p*accStep:][:channels]
		for c := range out {
			out[c] = e.apply(sums[c], c)
		}
	}
}

func affine(dst, src []int8, w []int32, e *Epilogue, n, channels int) {
	for p := range n {
		out, in := dst[p*channels:][:channels], src[p*channels:][:channels]
		for c := range out {
			out[c] = e.apply(int32(in[c])*w[c], c)
		}
	}
}

func lookup(dst, src []int8, table *[256]int8) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = table[uint8(src[i])]
	}
}

func maxInt8(dst, src []int8) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = max(dst[i], src[i])
	}
}

func addInt8(dst, x, y []int8, a *AddInt8) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = a.Of(x[i], y[i])
	}
}

func sumInt8(acc []int32, src []int8) {
	src = src[:len(acc)]
	for i, v := range src {
		acc[i] += int32(v)
	}
}

func depthInt8(t *DepthInt8) {
	for p := range t.Pixels {
		acc := t.Acc[p*t.Channels:][:t.Channels]
		clear(acc)
		w := t.W
		for r := range t.Runs {
			for k := range t.Taps {
				a := t.A[p*t.AStep+r*t.RunStep+k*t.TapStep:][:len(acc)]
				q := w[:len(acc)]
				for c := range acc {
					acc[c] += int32(a[c]) * int32(q[c])
				}
				w = w[len(acc):]
			}
		}
	}
}

func finish(dst, acc, bias []float32, lo, hi float32, n, channels, dstStep, accStep int) {
	bias = bias[:channels]
	for p := range n {
		out, sums := dst[p*dstStep:][:channels], acc[p*accStep:][:channels]
		for c := range out {
			out[c] = min(max(sums[c]+bias[c], lo), hi)
		}
	}
}

func scale(dst, src, m, a []float32) {
	src, m, a = src[:len(dst)], m[:len(dst)], a[:len(dst)]
	for i := range dst {
		dst[i] = src[i]*m[i] + a[i]
	}
}

func elu(dst, src []float32) {
	src = src[:len(dst)]
	for i, v := range src {
		if v < 0 {
			v = expm1(v)
		}
		dst[i] = v
	}
}

// expm1 returns exp(x)-1 for x <= 0, within two units in the last place of
// float32: exp(x) = 2^n * exp(r) with |r| <= ln(2)/2, and exp(r)-1 by its
// Taylor series, whose terms end where float32 does.
func expm1(x float32) float32 {
	if x < -17.5 { // exp(x) is below half a unit of 1
		return -1
	}
	n := float32(math.Floor(float64(x)*math.Log2E + 0.5))
	r := (x - n*ln2Hi) - n*ln2Lo
	p := ((((((1.0/5040)*r+1.0/720)*r+1.0/120)*r+1.0/24)*r+1.0/6)*r+1.0/2)*r*r + r
	s := math.Float32frombits(uint32(127+int32(n)) << 23)
	return s*p + (s - 1)
}

// ln(2) in two parts; n*ln2Hi is exact for the n that occur.
const (
	ln2Hi = 0.693145751953125
	ln2Lo = 1.42860677e-6
)

func maxFloat32(dst, src []float32) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] = max(dst[i], src[i])
	}
}

func addFloat32(dst, x, y []float32, lo, hi float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = min(max(x[i]+y[i], lo), hi)
	}
}

func depthFloat32(t *DepthFloat32) {
	for p := range t.Pixels {
		acc := t.Acc[p*t.Channels:][:t.Channels]
		clear(acc)
		w := t.W
		for r := range t.Runs {
			for k := range t.Taps {
				a := t.A[p*t.AStep+r*t.RunStep+k*t.TapStep:][:len(acc)]
				q := w[:len(acc)]
				for c := range acc {
					acc[c] += a[c] * q[c]
				}
				w = w[len(acc):]
			}
		}
	}
}
