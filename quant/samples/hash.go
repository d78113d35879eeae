package samples

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"

	"mien/quant"
	"mien/runtime/graph"
)

// summer makes a fingerprint of values.
type summer struct{ hash.Hash }

func newHash() summer { return summer{sha256.New()} }

func (s summer) add(v []float32) {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	s.Write(b)
}

func (s summer) String() string { return string(s.Sum(nil)) }

// Fingerprint is the SHA-256 of all that the samples give a graph.
func Fingerprint(g *graph.Graph, s quant.Samples) ([]byte, error) {
	sum := newHash()
	for i := range s.Len() {
		for k, at := range g.Inputs {
			v := make([]float32, g.Tensors[at].Elems())
			if err := s.Fill(i, k, v); err != nil {
				return nil, err
			}
			sum.add(v)
		}
	}
	return sum.Sum(nil), nil
}
