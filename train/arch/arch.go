// Package arch describes networks as data: a list of layers with names and
// sizes, read from files (nets has those that mien carries). train/nn runs and trains them, train/export turns one with its
// weights into a graph; both read this list, so they cannot disagree.
package arch

import (
	"fmt"
	"maps"
	"slices"

	"mien/runtime/model"
)

// NormEpsilon is what batch norm adds to a variance: Keras's default.
const NormEpsilon = 1e-3

// Op is what a layer does.
type Op string

// The layers. Convolutions and pools pad as TFLite's SAME and VALID do:
// Conv, Depthwise: same, unless Valid; MaxPool: valid. What other programs pad at
// both ends is a Pad before a valid one.
const (
	Conv      Op = "conv"      // Out channels, Kernel, Stride; weight OIHW and bias
	Depthwise Op = "depthwise" // Kernel, Stride; weight [C,1,K,K] and bias
	BatchNorm Op = "bn"        // Keras's: momentum 0.99, NormEpsilon
	ELU       Op = "elu"       // alpha 1
	ReLU      Op = "relu"
	ReLU6     Op = "relu6"
	MaxPool   Op = "maxpool"  // Kernel; Stride, which is Kernel where it is 0
	Pad       Op = "pad"      // Pad zeros on each side
	Upsample  Op = "upsample" // each pixel Kernel times, each way
	Mean      Op = "mean"     // global mean over height and width, NxCxHxW to NxC
	Flatten   Op = "flatten"  // in NCHW order
	Dense     Op = "dense"    // Out features; weight [out, in] and bias
	Dropout   Op = "dropout"  // Rate
	Add       Op = "add"      // plus the output of With
	Concat    Op = "concat"   // and the channels of With behind its own
	// FakeQuant rounds to what int8 of Scale and Zero can hold; gradients pass
	// through where the value fits. Fine-tuning for integers puts it in.
	FakeQuant Op = "fakequant"
)

// Layer is one step. It reads the output of the layer before it, or of the
// layer named Input ("" and "input" differ: "input" is the picture).
type Layer struct {
	Op     Op      `yaml:"op"`
	Name   string  `yaml:"name"` // names its parameters, and its output for Input and With
	Out    int     `yaml:"out"`
	Kernel int     `yaml:"kernel"`
	Stride int     `yaml:"stride"` // 0 means 1, of MaxPool Kernel
	Pad    int     `yaml:"pad"`
	Valid  bool    `yaml:"valid"` // a convolution does not pad
	Rate   float64 `yaml:"rate"`
	NoBias bool    `yaml:"-"` // of a convolution that a batch norm follows; in files bias: false
	Input  string  `yaml:"input"`
	With   string  `yaml:"with"`
	Scale  float64 `yaml:"-"` // of FakeQuant
	Zero   int     `yaml:"-"`
	Frozen bool    `yaml:"-"` // BatchNorm keeps its statistics in training, and uses them
}

// asked is what a layer of a file has to say.
type asked struct{ out, kernel, pad, rate, with, bias, valid bool }

// written are the layers that a file can have.
var written = map[Op]asked{
	Conv: {out: true, kernel: true, bias: true, valid: true}, Depthwise: {kernel: true, bias: true}, Dense: {out: true, bias: true},
	BatchNorm: {}, ELU: {}, ReLU: {}, ReLU6: {}, Mean: {}, Flatten: {},
	MaxPool: {kernel: true}, Pad: {pad: true}, Upsample: {kernel: true}, Dropout: {rate: true}, Add: {with: true}, Concat: {with: true},
}

// Ops returns the layers that a file can have, by name. What runs, trains, counts
// and writes networks knows each of them.
func Ops() []Op { return slices.Sorted(maps.Keys(written)) }

// check refuses a layer that says too little or too much.
func (l Layer) check() error {
	a, ok := written[l.Op]
	if !ok {
		return fmt.Errorf("layer %s: op %q is none of %v", l.Name, l.Op, Ops())
	}
	for _, x := range []struct {
		key       string
		want, has bool
	}{{"out", a.out, l.Out != 0}, {"kernel", a.kernel, l.Kernel != 0}, {"pad", a.pad, l.Pad != 0}, {"rate", a.rate, l.Rate != 0}, {"with", a.with, l.With != ""}} {
		if x.want != x.has && (x.want || x.has) {
			return fmt.Errorf("layer %s (%s): %s is %s", l.Name, l.Op, x.key, map[bool]string{true: "missing", false: "not for it"}[x.want])
		}
	}
	switch {
	case l.NoBias && !a.bias:
		return fmt.Errorf("layer %s (%s) has no bias to leave out", l.Name, l.Op)
	case l.Valid && !a.valid:
		return fmt.Errorf("layer %s (%s): valid is not for it", l.Name, l.Op)
	case l.Out < 0 || l.Out > 1<<16, l.Kernel < 0 || l.Kernel > model.Side, l.Stride < 0 || l.Stride > model.Side, l.Pad < 0 || l.Pad > model.Side, !(l.Rate >= 0 && l.Rate < 1):
		return fmt.Errorf("layer %s (%s): out %d, kernel %d, stride %d, rate %g are beyond what a picture of %d pixels bears", l.Name, l.Op, l.Out, l.Kernel, l.Stride, l.Rate, model.Side)
	}
	return nil
}

// Net is a network: the layers that all heads share, then one dense layer
// with softmax for each head, which is named as the head is.
type Net struct {
	Name   string
	Filter model.Filter // what its input is made of a face by
	Body   []Layer
	Heads  []model.Head
	Frozen int // so many layers, from the first on, do in training what they do else, and learn nothing
}

// Paper is the network of Saroop et al. 2021 (arXiv 2110.15028).
func Paper(heads []model.Head) Net { return carried("paper", heads) }

// Edge is the small residual network of nets/edge.yaml.
func Edge(heads []model.Head) Net { return carried("edge", heads) }

// carried returns a network that mien carries, which a test has read.
func carried(name string, heads []model.Head) Net {
	n, err := ByName(name, heads)
	if err != nil {
		panic(err)
	}
	return n
}
