package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"

	"mien/runtime/atomicfile"
	"mien/runtime/model"
	"mien/train"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/onnx"
)

type exportCmd struct {
	Checkpoint string   `arg:"" name:"f.safetensors" help:"Checkpoint of the trainer."`
	Heads      []string `help:"Heads that the file shall have. By default all that were taught." placeholder:"emotion,age"`
	Out        string   `help:"File to write." placeholder:"F.onnx" required:""`
}

func (c *exportCmd) Run(e env) error {
	n, err := openNetwork(c.Checkpoint, "")
	if err != nil {
		return err
	}
	heads, err := n.taught(c.Heads)
	if err != nil {
		return err
	}
	named, err := json.Marshal(n.net.Heads)
	if err != nil {
		return err
	}
	b, err := onnx.Marshal(n.net, n.file.Floats(), onnx.Options{Heads: heads, Metadata: map[string]string{
		train.MetaArch: n.net.Name, train.MetaHeads: string(named), train.MetaRecipe: n.file.Meta[train.MetaRecipe],
	}})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.Out, b); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%s: %s, %d bytes; input %s [N,1,50,50] of grey/255%s, an output of probabilities for each of %s\n",
		c.Out, n.net.Name, len(b), n.net.Filter.Input(), filteredBy(n.net.Filter), strings.Join(heads, ", "))
	return err
}

// filteredBy says what an engine of others has to do with a face first.
func filteredBy(f model.Filter) string {
	if f == model.NoFilter {
		return ""
	}
	return fmt.Sprintf(", which you filter (%s) as mien's runtime/face/filter does", f)
}

type importCmd struct {
	File    string   `arg:"" name:"f.safetensors" help:"Weights that another program saved: float32, float16, bfloat16 or float64."`
	Arch    string   `help:"Network that they are of, as in a recipe (paper, edge, wide, or a .yaml file)." placeholder:"NAME" required:""`
	Head    []string `help:"Head that they answer, as NAME=LABEL,LABEL, or NAME=FROM..TO UNIT for a number; repeat for several. By default the paper's." placeholder:"NAME=LABEL,..." sep:"none"`
	Names   string   `help:"YAML file that maps their names of tensors to those of mien inspect; a beginning such as module. goes by itself. Or a library (${namings}): the body of its vgg16, resnet50v2 or facenet is taken, with fresh heads." placeholder:"F.yaml|LIBRARY"`
	Epsilon string   `help:"What their batch norms add to a variance: 1e-5 is PyTorch's. By default what the file's metadata say (batch_norm_epsilon), or 1e-3, Keras's." placeholder:"1e-5"`
	Out     string   `help:"Checkpoint to write." placeholder:"F.safetensors" required:""`
}

func (c *importCmd) Run(e env) error {
	heads, err := parseHeads(c.Head)
	if err != nil {
		return err
	}
	net, err := arch.ByName(c.Arch, heads)
	if err != nil {
		return err
	}
	f, err := checkpoint.Read(c.File)
	if err != nil {
		return err
	}
	if slices.Contains(train.Namings(), c.Names) {
		out, err := train.ImportBody(net, f, c.Names)
		if err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
		return c.write(e, net, f, out)
	}
	names := map[string]string{}
	if c.Names != "" {
		b, err := os.ReadFile(c.Names)
		if err != nil {
			return err
		}
		if err := yaml.UnmarshalWithOptions(b, &names, yaml.Strict()); err != nil {
			return fmt.Errorf("%s: %s", c.Names, strings.TrimSpace(yaml.FormatError(err, false, false)))
		}
	}
	if err := f.Rename(names); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if c.Epsilon != "" {
		if f.Meta == nil {
			f.Meta = map[string]string{}
		}
		f.Meta[train.MetaEpsilon] = c.Epsilon
	}
	out, err := train.Import(net, f)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return c.write(e, net, f, out)
}

func (c *importCmd) write(e env, net arch.Net, f, out *checkpoint.File) error {
	if err := checkpoint.Write(c.Out, out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "%s: network %s, %d tensors of %d\n", c.Out, net.Name, len(out.Tensors), len(f.Tensors))
	return err
}

// inspectCheckpoint says what is in a checkpoint: the network, what taught its
// heads, how it did, and its tensors.
func inspectCheckpoint(w io.Writer, path string, asJSON bool) error {
	n, err := readNetwork(path, "")
	if err != nil {
		return err
	}
	taught, err := train.TaughtBy(n.file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var val train.Metrics
	if text := n.file.Meta[train.MetaVal]; text != "" {
		if err := json.Unmarshal([]byte(text), &val); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			SHA256 string                  `json:"sha256"`
			Meta   map[string]string       `json:"metadata"`
			Taught map[string]train.Taught `json:"taught"`
			Shapes map[string][]int        `json:"tensors"`
		}{n.sum, n.file.Meta, taught, shapesOf(n.file)})
	}
	fmt.Fprintf(w, "%s: checkpoint of network %s", filepath.Base(path), n.net.Name)
	if epoch := n.file.Meta[train.MetaEpoch]; epoch != "" {
		fmt.Fprintf(w, ", epoch %s", epoch)
	}
	fmt.Fprintf(w, "\nsha256 %s\n\n", n.sum)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "head\tlabels\ttaught by\tepochs\tvalidation accuracy")
	for _, h := range n.net.Heads {
		by, ok := taught[h.Name]
		what, epochs := "nothing: it answers at random", ""
		if ok {
			what, epochs = "not recorded", fmt.Sprint(by.Epochs)
			if len(by.Sets) > 0 {
				what = fmt.Sprintf("%d images of %s", by.Images, strings.Join(by.Sets, " and "))
			}
			if by.Teachers {
				what += ", and teachers"
			}
			if by.Since > 0 {
				what += fmt.Sprintf("; %d epochs since without it", by.Since)
			}
		}
		accuracy := ""
		if m := val.Heads[h.Name]; m != nil && m.N > 0 {
			accuracy = fmt.Sprintf("%.4f of %d", m.Accuracy, m.N)
			if h.Measures() {
				accuracy = fmt.Sprintf("off by %.3g %s in %d", m.MAE, h.Unit, m.N)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", h.Name, h.Say(), what, epochs, accuracy)
	}
	fmt.Fprintln(t, "\ntensor\tshape\tvalues\tsmallest\tlargest")
	for _, x := range n.file.Tensors {
		if len(x.Data) > 0 {
			fmt.Fprintf(t, "%s\t%v\t%d\t%.4g\t%.4g\n", x.Name, x.Shape, len(x.Data), slices.Min(x.Data), slices.Max(x.Data))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if recipe := n.file.Meta[train.MetaRecipe]; recipe != "" {
		fmt.Fprintf(w, "\nrecipe:\n%s", recipe)
	}
	return nil
}

func shapesOf(f *checkpoint.File) map[string][]int {
	all := map[string][]int{}
	for _, t := range f.Tensors {
		all[t.Name] = t.Shape
	}
	return all
}
