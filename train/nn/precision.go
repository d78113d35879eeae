package nn

import (
	"fmt"
	"runtime"

	"mien/train/nn/internal/kernel"
)

// Precision is what the factors of a convolution's products are rounded to.
// Sums, and all other layers, are in float32 at either.
type Precision int

// Bfloat16 keeps 8 of float32's 24 digits of the activations, the weights and
// the gradients that a convolution multiplies, forward and backward; the
// weights that Adam moves stay float32.
const (
	Float32 Precision = iota
	Bfloat16
)

var precisions = [...]string{Float32: "float32", Bfloat16: "bfloat16"}

func (p Precision) String() string { return precisions[p] }

// MarshalText returns the precision's name.
func (p Precision) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a precision's name.
func (p *Precision) UnmarshalText(name []byte) error {
	for k, n := range precisions {
		if n == string(name) {
			*p = Precision(k)
			return nil
		}
	}
	return fmt.Errorf("precision %q is neither float32 nor bfloat16", name)
}

// Fast reports whether this machine computes in a precision as fast as it
// can: bfloat16 wants a processor with AMX under Linux, and is slower than
// float32 on others.
func (p Precision) Fast() bool { return p == Float32 || kernel.FastBF16() }

// CPU names the kind of processor that this is: on the same kind the same run
// comes to the same bits.
func CPU() string { return runtime.GOARCH + " " + kernel.Name() }
