package train

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/nn"
)

//go:embed namings/*.yaml
var namings embed.FS

// naming is how a library calls and lays out the weights of its networks. There
// is a file for each.
type naming struct {
	About   string `yaml:"about"`
	Epsilon string `yaml:"epsilon"` // of its batch norms
	// Turned says that kernels lie as height, width, inputs, outputs.
	Turned   bool               `yaml:"turned"`
	Parts    map[string]string  `yaml:"parts"` // what it calls weight and so on, where otherwise
	Networks map[string]foreign `yaml:"networks"`
}

// foreign is a network of a library, by the name that it has here.
type foreign struct {
	// Scale and Shift make of a grey level from 0 to 1, repeated, what its three
	// channels take. They become the network's first convolution.
	Scale []float32 `yaml:"scale"`
	Shift []float32 `yaml:"shift"`
	// Layers are its names of ours, where they differ.
	Layers map[string]string `yaml:"layers"`
	// Times is what layers' weights and biases are multiplied with, by patterns of names.
	Times map[string]float32 `yaml:"times"`
	// Left are layers that are not taken: what it asks is not asked here.
	Left []string `yaml:"left"`
}

// repeated is the convolution that makes three channels of the grey picture.
const repeated = "rgb"

// Namings returns the libraries whose names are known.
func Namings() []string {
	files, err := fs.Glob(namings, "namings/*.yaml")
	if err != nil {
		return nil // the pattern is right
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".yaml")
	}
	return files
}

func readNaming(name string) (*naming, error) {
	b, err := namings.ReadFile("namings/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("train: no names of %q are known (there are %s)", name, strings.Join(Namings(), ", "))
	}
	n := &naming{}
	if err := yaml.UnmarshalWithOptions(b, n, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("train: names of %s: %s", name, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return n, nil
}

// ImportBody returns a checkpoint of a network whose body has the weights of f,
// which a library wrote under its own names; the heads are fresh, and nothing has
// taught them.
func ImportBody(net arch.Net, f *checkpoint.File, library string) (*checkpoint.File, error) {
	names, err := readNaming(library)
	if err != nil {
		return nil, err
	}
	of, ok := names.Networks[net.Name]
	if !ok {
		return nil, fmt.Errorf("train: %s has no network %s as it is here", library, net.Name)
	}
	net.Frozen = len(net.Body) // nothing is learned here
	n, err := nn.New(net, 1, 1)
	if err != nil {
		return nil, err
	}
	n.Init(1)
	shapes := map[string][]int{}
	for _, p := range n.Params() {
		shapes[p.Name] = p.Shape
	}
	all := &checkpoint.File{Meta: map[string]string{MetaEpsilon: names.Epsilon}}
	for i := range f.Tensors {
		t, err := names.tensor(&f.Tensors[i], &of, shapes)
		if err != nil {
			return nil, fmt.Errorf("train: tensor %s: %w", f.Tensors[i].Name, err)
		}
		if t != nil {
			all.Tensors = append(all.Tensors, *t)
		}
	}
	all.Tensors = append(all.Tensors,
		checkpoint.Tensor{Name: repeated + ".weight", Shape: []int{3, 1, 1, 1}, Data: of.Scale},
		checkpoint.Tensor{Name: repeated + ".bias", Shape: []int{3}, Data: of.Shift})
	for _, p := range n.Params() {
		if p.Grad != nil { // the heads
			all.Tensors = append(all.Tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
		}
	}
	out, err := Import(net, all)
	if err != nil {
		return nil, err
	}
	out.Meta[MetaTaught] = "{}"
	return out, nil
}

// tensor returns a tensor as it is here, or nil for one that is not taken.
func (n *naming) tensor(t *checkpoint.Tensor, of *foreign, shapes map[string][]int) (*checkpoint.Tensor, error) {
	layer, part := split(t.Name)
	if slices.Contains(of.Left, layer) || part == "num_batches_tracked" {
		return nil, nil
	}
	if t.Data == nil {
		return nil, errors.New("it holds integers")
	}
	if ours, ok := of.Layers[layer]; ok {
		layer = ours
	} else if of.Layers != nil {
		return nil, errors.New("the network has no such layer")
	}
	if ours, ok := n.Parts[part]; ok {
		part = ours
	}
	out := &checkpoint.Tensor{Name: layer + "." + part, Shape: slices.Clone(t.Shape), Data: slices.Clone(t.Data)}
	want, ok := shapes[out.Name]
	if !ok {
		return nil, errors.New("the network has no such layer")
	}
	if n.Turned && len(out.Shape) == 4 {
		turn(out)
	}
	if len(want) == 4 && len(out.Shape) == 4 {
		widen(out, want[2])
	}
	for pattern, factor := range of.Times {
		if match, err := path.Match(pattern, layer); err != nil {
			return nil, err
		} else if match {
			for i := range out.Data {
				out.Data[i] *= factor
			}
		}
	}
	return out, nil
}

// split cuts the name of a tensor into layer and part, at the last dot or, of a
// path, slash: LAYER/LAYER/kernel:0 is how older Keras writes one.
func split(name string) (layer, part string) {
	name, _, _ = strings.Cut(name, ":")
	i := strings.LastIndexAny(name, "./")
	if i < 0 {
		return "", name
	}
	if name[i] == '/' {
		return path.Base(name[:i]), name[i+1:]
	}
	return name[:i], name[i+1:]
}

// turn makes OIHW of HWIO.
func turn(t *checkpoint.Tensor) {
	h, w, in, out := t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3]
	data := make([]float32, len(t.Data))
	for i, v := range t.Data {
		o, c, p := i%out, i/out%in, i/out/in
		data[(o*in+c)*h*w+p] = v
	}
	t.Data, t.Shape = data, []int{out, in, h, w}
}

// widen lays kernels in the middle of ones of k x k, with zeros around.
func widen(t *checkpoint.Tensor, k int) {
	h, w := t.Shape[2], t.Shape[3]
	if h == k && w == k || h > k || w > k {
		return
	}
	kernels := t.Shape[0] * t.Shape[1]
	data := make([]float32, kernels*k*k)
	for i, v := range t.Data {
		x, y, n := i%w+(k-w)/2, i/w%h+(k-h)/2, i/w/h
		data[(n*k+y)*k+x] = v
	}
	t.Data, t.Shape = data, []int{t.Shape[0], t.Shape[1], k, k}
}
