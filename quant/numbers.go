package quant

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"mien/runtime/graph"
)

// affineOf returns the scale and zero point with which integers of a type
// cover [lo, hi], which contains 0. Int16 is symmetric, as its kernels demand.
func affineOf(lo, hi float64, t graph.Type) (scale float32, zero int64) {
	if t == graph.Int16 {
		s := max(-lo, hi) / 32767
		if !(s > 1e-30) {
			return 1, 0
		}
		return float32(s), 0
	}
	s := (hi - lo) / 255
	if !(s > 1e-30) {
		return 1, 0
	}
	scale = float32(s)
	z := math.Round(-128 - lo/float64(scale))
	return scale, int64(min(max(z, -128), 127))
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func floatBytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// roundTo returns the integer of x in units of scale, within [lo, hi]. Halves
// go away from zero, as in TensorFlow Lite; other takes the second-nearest.
func roundTo(x float64, other bool, lo, hi float64) float64 {
	q := math.Round(x)
	if other {
		if x >= q {
			q++
		} else {
			q--
		}
	}
	return min(max(q, lo), hi)
}

// weightBytes stores weights as the plan says: one byte each.
func weightBytes(v []float32, shape []int, tp *TensorPlan) ([]byte, error) {
	flips, err := unpackBits(tp.Rounding, len(v))
	if err != nil {
		return nil, fmt.Errorf("quant: plan of %s: rounding: %w", tp.Name, err)
	}
	scale, err := scaleOf(tp, shape)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(v))
	for i, x := range v {
		other := flips != nil && flips[i/8]>>(i%8)&1 == 1
		out[i] = byte(int8(roundTo(float64(x)/float64(scale(i)), other, -127, 127)))
	}
	return out, nil
}

// scaleOf returns the scale of each element.
func scaleOf(tp *TensorPlan, shape []int) (func(i int) float32, error) {
	for _, s := range tp.Scale {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return nil, fmt.Errorf("quant: plan of %s: scale %v", tp.Name, s)
		}
	}
	if len(tp.Scale) == 1 {
		s := tp.Scale[0]
		return func(int) float32 { return s }, nil
	}
	if tp.Axis < 0 || tp.Axis >= len(shape) || shape[tp.Axis] != len(tp.Scale) {
		return nil, fmt.Errorf("quant: plan of %s: %d scales along axis %d of shape %v", tp.Name, len(tp.Scale), tp.Axis, shape)
	}
	inner := 1
	for _, d := range shape[tp.Axis+1:] {
		inner *= d
	}
	n := len(tp.Scale)
	return func(i int) float32 { return tp.Scale[i/inner%n] }, nil
}

// biasBytes stores a bias as the plan says.
func biasBytes(v []float32, tp *TensorPlan) ([]byte, error) {
	if len(tp.Scale) != 1 && len(tp.Scale) != len(v) || len(tp.Shift) != 0 && len(tp.Shift) != len(v) {
		return nil, fmt.Errorf("quant: plan of %s: %d scales and %d shifts for %d values", tp.Name, len(tp.Scale), len(tp.Shift), len(v))
	}
	var out []byte
	for i, x := range v {
		s := tp.Scale[min(i, len(tp.Scale)-1)]
		real := float64(x)
		if tp.Shift != nil {
			real += float64(tp.Shift[i])
		}
		q := real / float64(s)
		if tp.Type == graph.Int64.String() {
			out = binary.LittleEndian.AppendUint64(out, uint64(int64(roundTo(q, false, -1<<40, 1<<40))))
		} else {
			out = binary.LittleEndian.AppendUint32(out, uint32(int32(roundTo(q, false, math.MinInt32, math.MaxInt32))))
		}
	}
	return out, nil
}

// half returns x as IEEE half precision, halves to even; what is too large
// becomes the largest.
func half(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	exp := int(b>>23&0xff) - 127 + 15
	frac := b & 0x7fffff
	switch {
	case exp >= 31:
		if b&0x7fffffff > 0x7f800000 {
			return sign | 0x7e00 // NaN
		}
		return sign | 0x7bff
	case exp <= 0:
		if exp < -10 {
			return sign
		}
		frac |= 0x800000
		shift := uint(14 - exp)
		return sign | uint16((frac+1<<(shift-1)-1+frac>>shift&1)>>shift)
	}
	h := uint32(exp)<<23 | frac
	h = (h + 0xfff + h>>13&1) >> 13 // a carry goes into the exponent, as it should
	return sign | uint16(min(h, 0x7bff))
}

func halfBytes(v []float32) []byte {
	var out []byte
	for _, x := range v {
		out = binary.LittleEndian.AppendUint16(out, half(x))
	}
	return out
}

// packBits stores a bit set; none set is "".
func packBits(b []byte) string {
	if len(bytes.Trim(b, "\x00")) == 0 {
		return ""
	}
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, flate.BestCompression) // the level is valid
	w.Write(b)                                         // a Buffer takes everything
	w.Close()
	return base64.StdEncoding.EncodeToString(z.Bytes())
}

func unpackBits(s string, n int) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	z, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	want := (n + 7) / 8
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(z)), int64(want)+1))
	if err != nil {
		return nil, err
	}
	if len(b) != want {
		return nil, errors.New("not as many bits as weights")
	}
	return b, nil
}
