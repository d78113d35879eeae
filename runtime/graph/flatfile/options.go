package flatfile

import (
	"strings"

	"mien/runtime/graph"
)

// layouts holds, for each member of the schema's BuiltinOptions union from 1
// on, its fields in the order of their ids: b 1 byte, i 4 bytes, l 8 bytes,
// v a vector of 4-byte elements, s a string, "-" none. With it, the options of
// operators that mien does not know are kept field by field.
// Source: tensorflow/lite/schema/schema.fbs.
var layouts = strings.Fields(`
	biibiib biiibii ivv b biiiib ibb bb bbbbb i ib bb b iiii biibb iibb i v iib i b
	b - ii - - - b bb b v bbb iiiiib - - i - bb - - b
	- - - - - - - - biibb b - - - - b - b iiib
	ii - i - - ii - - - - biibbb bbbb biibbb - - bb i - b -
	i b - - - - - - ii - - - - ii ii i - - - - - -
	bbb bb i - - biiibiii ibb - - - ss - - ll v b - - - -
	- - - - - -`)

func layout(union uint8) (fields string, ok bool) {
	if union == 0 || int(union) > len(layouts) {
		return "", false
	}
	return strings.Trim(layouts[union-1], "-"), true
}

// unionOf gives the member of the union that belongs to each operator that
// mien writes.
var unionOf = map[graph.Kind]uint8{
	graph.Conv2D:          1,
	graph.DepthwiseConv2D: 2,
	graph.MaxPool2D:       5,
	graph.AveragePool2D:   5,
	graph.FullyConnected:  8,
	graph.Softmax:         9,
	graph.Concatenation:   10,
	graph.Add:             11,
	graph.Reshape:         17,
	graph.Mul:             21,
	graph.Pad:             22,
	graph.Mean:            27,
	graph.Dequantize:      38,
	graph.Quantize:        89,
	graph.HardSwish:       91,
}
