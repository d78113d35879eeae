package nn

import (
	"math"
	"math/rand/v2"
	"strings"
)

// Init sets every parameter as a fresh Keras network has it: weights he_normal
// (a normal distribution cut at two deviations, of standard deviation
// sqrt(2/fan-in) after the cut), biases zero, norms the identity. The same
// seed gives the same network.
func (n *Net) Init(seed uint64) {
	for i, p := range n.params {
		switch {
		case len(p.Shape) > 1:
			heNormal(p, rand.New(rand.NewPCG(seed, uint64(i))))
		case isOne(p.Name):
			for j := range p.Value {
				p.Value[j] = 1
			}
		default:
			clear(p.Value)
		}
	}
}

// isOne tells norms' scale and variance, the only vectors that start at one:
// a bias is called so, and weights of other layers have two dimensions.
func isOne(name string) bool {
	return strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".running_var")
}

func heNormal(p Param, rng *rand.Rand) {
	const cut = 0.87962566103423978 // deviation of a unit normal cut at 2
	fan := 1
	for _, d := range p.Shape[1:] {
		fan *= d
	}
	sigma := math.Sqrt(2/float64(fan)) / cut
	for j := range p.Value {
		x := rng.NormFloat64()
		for math.Abs(x) > 2 {
			x = rng.NormFloat64()
		}
		p.Value[j] = float32(x * sigma)
	}
}
