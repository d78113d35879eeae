package arch

import (
	"fmt"

	"mien/runtime/model"
)

// Edge is a residual network for small boards and the Edge TPU: a ninth of
// the paper's multiply-adds and a quarter of its parameters, from operations
// that an Edge TPU maps (convolution, ReLU, addition, mean, dense). Batch
// norm comes straight after each convolution, so that it folds into it.
func Edge(heads []model.Head) Net { return residualNet("edge", 32, heads) }

// Wide is Edge of twice the width, and four times the work: a teacher for it.
func Wide(heads []model.Head) Net { return residualNet("wide", 64, heads) }

// residualNet has width channels at half the picture's size, twice that at a
// quarter and four times at an eighth.
func residualNet(name string, width int, heads []model.Head) Net {
	n := Net{Name: name, Heads: heads}
	n.conv("stem", width, 5, 2)
	n.relu("stem")
	n.residual("block1", width)
	for k, s := range []struct{ out, blocks int }{{2 * width, 2}, {4 * width, 1}} {
		name := fmt.Sprintf("down%d", k+1)
		n.conv(name, s.out, 3, 2)
		n.relu(name)
		for i := range s.blocks {
			n.residual(fmt.Sprintf("block%d", 2+2*k+i), s.out)
		}
	}
	n.Body = append(n.Body, Layer{Op: Mean, Name: "mean"}, Layer{Op: Dropout, Name: "drop", Rate: 0.3})
	return n
}

// conv adds a convolution and its norm.
func (n *Net) conv(name string, out, kernel, stride int) {
	n.Body = append(n.Body,
		Layer{Op: Conv, Name: name + "_conv", Out: out, Kernel: kernel, Stride: stride, NoBias: true},
		Layer{Op: BatchNorm, Name: name + "_bn"})
}

func (n *Net) relu(name string) { n.Body = append(n.Body, Layer{Op: ReLU, Name: name + "_relu"}) }

// residual adds two convolutions to what came before.
func (n *Net) residual(name string, out int) {
	from := n.Body[len(n.Body)-1].Name
	n.conv(name+"a", out, 3, 1)
	n.relu(name + "a")
	n.conv(name+"b", out, 3, 1)
	n.Body = append(n.Body, Layer{Op: Add, Name: name + "_add", With: from})
	n.relu(name)
}
