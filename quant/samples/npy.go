package samples

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Array is an array of numbers, row by row.
type Array struct {
	Shape []int
	Data  []float32
}

// maxValues bounds an array; what is smaller than its header says is an error
// before anything is allocated.
const maxValues = 1 << 28

// The header is a Python dictionary of three known keys (NumPy enhancement
// proposal 1), in any order.
var (
	descrKey   = regexp.MustCompile(`'descr'\s*:\s*'([^']*)'`)
	fortranKey = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	shapeKey   = regexp.MustCompile(`'shape'\s*:\s*\(([0-9,\sL]*)\)`)
)

// ParseNPY reads an array as numpy.save writes it: numbers of float16, float32,
// float64 or integers, or truth values, which become float32.
func ParseNPY(b []byte) (*Array, error) {
	if len(b) < 10 || string(b[:6]) != "\x93NUMPY" {
		return nil, errors.New("not a .npy file (it does not begin with \\x93NUMPY)")
	}
	size, at := int(binary.LittleEndian.Uint16(b[8:])), 10
	if b[6] > 1 {
		if len(b) < 12 {
			return nil, errors.New("the header is cut")
		}
		size, at = int(binary.LittleEndian.Uint32(b[8:])), 12
	}
	if size > len(b)-at {
		return nil, errors.New("the header is cut")
	}
	header, data := string(b[at:at+size]), b[at+size:]
	descr, fortran, dims := descrKey.FindStringSubmatch(header), fortranKey.FindStringSubmatch(header), shapeKey.FindStringSubmatch(header)
	if descr == nil || fortran == nil || dims == nil {
		return nil, errors.New("the header lacks descr, fortran_order or shape, or its elements are not numbers")
	}
	if fortran[1] == "True" {
		return nil, errors.New("it is stored column by column: save numpy.ascontiguousarray of it")
	}
	a, n := &Array{}, 1
	for _, f := range strings.Split(dims[1], ",") {
		if f = strings.TrimRight(strings.TrimSpace(f), "L"); f == "" {
			continue
		}
		d, err := strconv.Atoi(f)
		if err != nil || d > maxValues || d > 0 && n > maxValues/d {
			return nil, fmt.Errorf("shape (%s) is too large", dims[1])
		}
		n *= d
		a.Shape = append(a.Shape, d)
	}
	width, value, err := element(descr[1])
	if err != nil {
		return nil, err
	}
	if len(data) != n*width {
		return nil, fmt.Errorf("shape (%s) of %s takes %d bytes, and there are %d", dims[1], descr[1], n*width, len(data))
	}
	a.Data = make([]float32, n)
	for i := range a.Data {
		a.Data[i] = value(data[i*width:])
	}
	return a, nil
}

// element returns the bytes of one element and what reads it.
func element(descr string) (int, func([]byte) float32, error) {
	if len(descr) < 3 {
		return 0, nil, fmt.Errorf("elements of type %q", descr)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if descr[0] == '>' {
		order = binary.BigEndian
	}
	switch descr[1:] {
	case "f2":
		return 2, func(b []byte) float32 { return half(order.Uint16(b)) }, nil
	case "f4":
		return 4, func(b []byte) float32 { return math.Float32frombits(order.Uint32(b)) }, nil
	case "f8":
		return 8, func(b []byte) float32 { return float32(math.Float64frombits(order.Uint64(b))) }, nil
	case "u1", "b1":
		return 1, func(b []byte) float32 { return float32(b[0]) }, nil
	case "i1":
		return 1, func(b []byte) float32 { return float32(int8(b[0])) }, nil
	case "u2":
		return 2, func(b []byte) float32 { return float32(order.Uint16(b)) }, nil
	case "i2":
		return 2, func(b []byte) float32 { return float32(int16(order.Uint16(b))) }, nil
	case "u4":
		return 4, func(b []byte) float32 { return float32(order.Uint32(b)) }, nil
	case "i4":
		return 4, func(b []byte) float32 { return float32(int32(order.Uint32(b))) }, nil
	case "i8":
		return 8, func(b []byte) float32 { return float32(int64(order.Uint64(b))) }, nil
	case "u8":
		return 8, func(b []byte) float32 { return float32(order.Uint64(b)) }, nil
	}
	return 0, nil, fmt.Errorf("elements of type %q (float16, float32, float64 and integers are read)", descr)
}

// half returns the value of an IEEE half.
func half(h uint16) float32 {
	v := float64(h&1023) / 1024
	switch e := int(h >> 10 & 31); e {
	case 0:
		v = math.Ldexp(v, -14)
	case 31:
		if v != 0 {
			return float32(math.NaN())
		}
		v = math.Inf(1)
	default:
		v = math.Ldexp(1+v, e-15)
	}
	if h>>15 == 1 {
		v = -v
	}
	return float32(v)
}
