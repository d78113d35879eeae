// Package arch describes networks as data: a list of layers with names and
// sizes. train/nn runs and trains them, train/export turns one with its
// weights into a graph; both read this list, so they cannot disagree.
package arch

import (
	"fmt"

	"mien/runtime/model"
)

// Op is what a layer does.
type Op string

// The layers. Convolutions and pools pad as TFLite's SAME and VALID do:
// Conv, Depthwise: same; MaxPool: valid.
const (
	Conv      Op = "conv"      // Out channels, Kernel, Stride; weight OIHW and bias
	Depthwise Op = "depthwise" // Kernel, Stride; weight [C,1,K,K] and bias
	BatchNorm Op = "bn"        // Keras's: momentum 0.99, epsilon 1e-3
	ELU       Op = "elu"       // alpha 1
	ReLU      Op = "relu"
	ReLU6     Op = "relu6"
	MaxPool   Op = "maxpool" // Kernel = Stride
	Mean      Op = "mean"    // global mean over height and width, NxCxHxW to NxC
	Flatten   Op = "flatten" // in NCHW order
	Dense     Op = "dense"   // Out features; weight [out, in] and bias
	Dropout   Op = "dropout" // Rate
	Add       Op = "add"     // plus the output of With
	// FakeQuant rounds to what int8 of Scale and Zero can hold; gradients pass
	// through where the value fits. Fine-tuning for integers puts it in.
	FakeQuant Op = "fakequant"
)

// Layer is one step. It reads the output of the layer before it, or of the
// layer named Input ("" and "input" differ: "input" is the picture).
type Layer struct {
	Op     Op
	Name   string // names its parameters, and its output for Input and With
	Out    int
	Kernel int
	Stride int // 0 means 1
	Rate   float64
	NoBias bool // of a convolution that a batch norm follows
	Input  string
	With   string
	Scale  float64 // of FakeQuant
	Zero   int
	Frozen bool // BatchNorm keeps its statistics in training, and uses them
}

// Net is a network: the layers that all heads share, then one dense layer
// with softmax for each head, which is named as the head is.
type Net struct {
	Name  string
	Body  []Layer
	Heads []model.Head
}

// Paper is the network of Saroop et al. 2021 (arXiv 2110.15028). Batch norm
// comes after ELU.
func Paper(heads []model.Head) Net {
	n := Net{Name: "paper", Heads: heads}
	add := func(l ...Layer) { n.Body = append(n.Body, l...) }
	drops := []float64{0.6, 0.5, 0.4}
	for k, c := range []struct{ out, kernel int }{{64, 5}, {64, 5}, {128, 3}, {128, 3}, {256, 3}, {256, 3}} {
		add(Layer{Op: Conv, Name: fmt.Sprintf("conv%d", k+1), Out: c.out, Kernel: c.kernel},
			Layer{Op: ELU, Name: fmt.Sprintf("elu%d", k+1)},
			Layer{Op: BatchNorm, Name: fmt.Sprintf("bn%d", k+1)})
		if k%2 == 1 {
			add(Layer{Op: MaxPool, Name: fmt.Sprintf("pool%d", k/2+1), Kernel: 2, Stride: 2},
				Layer{Op: Dropout, Name: fmt.Sprintf("drop%d", k/2+1), Rate: drops[k/2]})
		}
	}
	add(Layer{Op: Flatten, Name: "flatten"},
		Layer{Op: Dense, Name: "dense", Out: 128},
		Layer{Op: ELU, Name: "elu7"},
		Layer{Op: BatchNorm, Name: "bn7"},
		Layer{Op: Dropout, Name: "drop4", Rate: 0.4})
	return n
}

// ByName returns the network of that name with those heads.
func ByName(name string, heads []model.Head) (Net, error) {
	switch name {
	case "paper":
		return Paper(heads), nil
	case "edge":
		return Edge(heads), nil
	case "wide":
		return Wide(heads), nil
	}
	return Net{}, fmt.Errorf("arch: no network %q (there are paper, edge and wide)", name)
}
