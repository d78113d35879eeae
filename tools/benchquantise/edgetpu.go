package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"mien/quant/inspect"
	"mien/runtime/graph/flatfile"
)

// compiled is an int8 model and what Coral's compiler made of it. As with pairs,
// nobody serves them by version and hash.
type compiled struct {
	source, twin string
	sha256       [2]string
}

var twins = []compiled{
	{"coral_deeplabv3_mnv2_dm05_pascal_quant.tflite", "coral_deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite",
		[2]string{"0470d2a782aa54eeeb99d32e7b6b3fb7722905c7c4f5d26bd957ec861366d48b", "4ccdb19b91c9b0f5917095f5163408326711f06eb0599e3d0fde9b9791f62895"}},
	{"coral_keras_lstm_mnist_ptq.tflite", "coral_keras_lstm_mnist_ptq_edgetpu.tflite",
		[2]string{"ac718e4b27731e370c21bc018ad6214512fd56ce1dfde308a050707eda6f0a4b", "1ee39c825eea0cdd45ca3cb66481921d4f48e0875dff8b4aba5d5dcc3472be79"}},
	{"coral_mobilenet_v1_0.25_128_quant.tflite", "coral_mobilenet_v1_0.25_128_quant_edgetpu.tflite",
		[2]string{"cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785", "a4cb1e493346542248687939fbd7421ab92d74c58b1f0a0018b8f1bdddfcef7e"}},
}

// onTPU is the operator that stands for all that the compiler mapped.
const onTPU = "edgetpu-custom-op"

// compareTwins holds inspect's verdicts against the compiler's: which operators
// stay on the CPU.
func compareTwins(w io.Writer, o options) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "model\toperators\ton the CPU by inspect\tby Coral's compiler\t")
	agree := 0
	for _, c := range twins {
		operators, ours, theirs, err := c.compare(o.models)
		if err != nil {
			return err
		}
		mark := "they differ"
		if slices.Equal(ours, theirs) {
			agree++
			mark = ""
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", c.source, operators, orNone(ours), orNone(theirs), mark)
	}
	t.Flush()
	fmt.Fprintf(w, "%d of %d verdicts are the compiler's\n", agree, len(twins))
	if agree < len(twins) {
		return fmt.Errorf("%d verdicts differ from the compiler's", len(twins)-agree)
	}
	return nil
}

// compare returns how many operators a model has, and which stay on the CPU.
func (c compiled) compare(dir string) (operators int, ours, theirs []string, err error) {
	var files [2][]byte
	for i, name := range []string{c.source, c.twin} {
		if files[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return 0, nil, nil, err
		}
		if err := is(files[i], c.sha256[i]); err != nil {
			return 0, nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return verdicts(files[0], files[1])
}

func verdicts(source, twin []byte) (operators int, ours, theirs []string, err error) {
	g, err := flatfile.Unmarshal(source)
	if err != nil {
		return 0, nil, nil, err
	}
	for _, m := range inspect.CheckEdgeTPU(g).Operators {
		if !m.TPU {
			ours = append(ours, m.Op)
		}
	}
	made, err := flatfile.Unmarshal(twin)
	if err != nil {
		return 0, nil, nil, err
	}
	for _, op := range made.Ops {
		if op.Name() != onTPU {
			theirs = append(theirs, op.Name())
		}
	}
	return len(g.Ops), ours, theirs, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}
