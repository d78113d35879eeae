// Package inspect describes a .tflite file: what is in it, what it costs to
// run, and whether an Edge TPU would take it. It runs nothing.
package inspect

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"mien/runtime/graph"
	"mien/runtime/model"
)

// Info describes a file.
type Info struct {
	Bytes       int      `json:"bytes"`
	Name        string   `json:"name,omitempty"`
	Description string   `json:"description,omitempty"`
	Inputs      []Tensor `json:"inputs"`
	Outputs     []Tensor `json:"outputs"`
	Operators   []Op     `json:"operators"`
	// Parameters counts the elements of all constants, MACs the
	// multiply-adds of one run.
	Parameters int   `json:"parameters"`
	MACs       int64 `json:"macs"`
	// Arena estimates the memory for what is computed, packed as TensorFlow
	// Lite packs it; operators' scratch memory is not in it.
	Arena    int64          `json:"arena_bytes"`
	Metadata map[string]int `json:"metadata,omitempty"` // sizes
	Card     *model.Card    `json:"card,omitempty"`
	// Published is what the file's publisher says of it; nil where it does not.
	Published *Published `json:"published,omitempty"`
	Unkept    []string   `json:"unread,omitempty"`
}

// Tensor describes a tensor.
type Tensor struct {
	// Index is its place in the file; -1 of an input that an operator leaves out.
	Index int    `json:"index"`
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
	// Signature has -1 where a size is open; absent where none is.
	Signature []int     `json:"shape_signature,omitempty"`
	Scale     []float32 `json:"scale,omitempty"` // one, or one for each channel
	Zero      int64     `json:"zero"`
	Axis      int       `json:"axis,omitempty"`
	Constant  bool      `json:"constant,omitempty"`
	Bytes     int       `json:"bytes,omitempty"`
}

// Op describes an operator.
type Op struct {
	Name       string   `json:"name"`
	Version    int      `json:"version"`
	Options    string   `json:"options,omitempty"`
	Inputs     []Tensor `json:"inputs"`
	Outputs    []Tensor `json:"outputs"`
	Parameters int      `json:"parameters,omitempty"`
	MACs       int64    `json:"macs,omitempty"`
}

// Describe describes g, read from that file.
func Describe(g *graph.Graph, file []byte) *Info {
	info := &Info{Bytes: len(file), Name: g.Name, Description: g.Description, Unkept: g.Unkept, Arena: arena(g)}
	for _, i := range g.Inputs {
		info.Inputs = append(info.Inputs, tensorOf(g, i))
	}
	for _, i := range g.Outputs {
		info.Outputs = append(info.Outputs, tensorOf(g, i))
	}
	for _, t := range g.Tensors {
		if t.Const() {
			info.Parameters += t.Elems()
		}
	}
	for _, o := range g.Ops {
		op := Op{Name: o.Name(), Version: o.Version, MACs: g.MACs(o)}
		if o.Options != nil {
			op.Options = o.Options.String()
		}
		info.MACs += op.MACs
		for _, i := range o.Inputs {
			t := tensorOf(g, i)
			op.Inputs = append(op.Inputs, t)
			if t.Constant {
				op.Parameters += g.Tensors[i].Elems()
			}
		}
		for _, i := range o.Outputs {
			op.Outputs = append(op.Outputs, tensorOf(g, i))
		}
		info.Operators = append(info.Operators, op)
	}
	for _, m := range g.Metadata {
		if info.Metadata == nil {
			info.Metadata = map[string]int{}
		}
		info.Metadata[m.Name] = len(m.Data)
	}
	if b := g.Meta(model.CardKey); b != nil {
		if card, err := model.ParseCard(b); err == nil {
			info.Card = &card
		} else {
			info.Unkept = append(slices.Clip(info.Unkept), err.Error())
		}
	}
	if b := g.Meta(PublishedKey); b != nil {
		var err error
		if info.Published, err = published(b, file); err != nil {
			info.Unkept = append(slices.Clip(info.Unkept), err.Error())
		}
	}
	return info
}

func tensorOf(g *graph.Graph, i int) Tensor {
	if i < 0 {
		return Tensor{Index: -1, Name: "(none)"}
	}
	t := g.Tensors[i]
	out := Tensor{Index: i, Name: t.Name, Type: t.Type.String(), Shape: t.Shape, Constant: t.Const(), Bytes: len(t.Data)}
	if slices.Contains(t.Signature, -1) {
		out.Signature = t.Signature
	}
	if q := t.Quant; q != nil {
		out.Scale, out.Axis = q.Scale, q.Axis
		if len(q.Zero) > 0 {
			out.Zero = q.Zero[0]
		}
	}
	return out
}

// alignment of tensors in TensorFlow Lite's arena.
const alignment = 64

// arena packs what is computed as TensorFlow Lite's planner does: the largest
// first, each in the first gap that is free as long as it lives.
func arena(g *graph.Graph) int64 {
	type block struct {
		size, at    int64
		first, last int
	}
	blocks := map[int]*block{}
	use := func(i, step int) {
		if i < 0 || g.Tensors[i].Const() {
			return
		}
		t := g.Tensors[i]
		b := blocks[i]
		if b == nil {
			size := int64(t.Elems()) * int64(max(t.Type.Size(), 1))
			b = &block{size: (size + alignment - 1) / alignment * alignment, first: step}
			blocks[i] = b
		}
		b.last = max(b.last, step)
	}
	for _, i := range g.Inputs {
		use(i, 0)
	}
	for k, o := range g.Ops {
		for _, i := range o.Inputs {
			use(i, k)
		}
		for _, i := range o.Outputs {
			use(i, k)
		}
	}
	for _, i := range g.Outputs {
		use(i, len(g.Ops))
	}
	order := make([]int, 0, len(blocks))
	for i := range blocks {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(blocks[b].size, blocks[a].size), cmp.Compare(a, b))
	})
	var placed []*block // by place
	var top int64
	for _, i := range order {
		b := blocks[i]
		for _, p := range placed {
			if p.first > b.last || p.last < b.first {
				continue
			}
			if b.at+b.size <= p.at {
				break
			}
			b.at = max(b.at, p.at+p.size)
		}
		k, _ := slices.BinarySearchFunc(placed, b, func(x, y *block) int { return cmp.Compare(x.at, y.at) })
		placed = slices.Insert(placed, k, b)
		top = max(top, b.at+b.size)
	}
	return top
}

// JSON returns the description as JSON.
func (info *Info) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(info, "", " ")
	return append(b, '\n'), err
}

// Text returns the description for reading.
func (info *Info) Text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d bytes", info.Bytes)
	if info.Description != "" {
		fmt.Fprintf(&b, ", %q", info.Description)
	}
	fmt.Fprintf(&b, "\n%d operators, %d parameters, %.1f M multiply-adds, arena about %d KiB\n\n",
		len(info.Operators), info.Parameters, float64(info.MACs)/1e6, (info.Arena+1023)/1024)
	for _, t := range info.Inputs {
		fmt.Fprintf(&b, "input  %s\n", t)
	}
	for _, t := range info.Outputs {
		fmt.Fprintf(&b, "output %s\n", t)
	}
	fmt.Fprintln(&b)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "#\toperator\tversion\toptions\toutput\tweights\tparameters\tM multiply-adds\n")
	for i, o := range info.Operators {
		var outs, weights []string
		for _, t := range o.Outputs {
			t.Name = graph.Short(t.Name, mostName)
			outs = append(outs, t.String())
		}
		if len(o.Inputs) > 1 && o.Inputs[1].Constant {
			weights = append(weights, o.Inputs[1].kind())
		}
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\t%s\t%d\t%.2f\n", i, o.Name, o.Version, o.Options, strings.Join(outs, ", "),
			strings.Join(weights, ""), o.Parameters, float64(o.MACs)/1e6)
	}
	w.Flush()
	info.metadata(&b)
	return b.String()
}

func (info *Info) metadata(b *bytes.Buffer) {
	names := make([]string, 0, len(info.Metadata))
	for n := range info.Metadata {
		names = append(names, n)
	}
	slices.Sort(names)
	for i, n := range names {
		if i == 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintf(b, "metadata %s: %d bytes\n", n, info.Metadata[n])
	}
	if info.Published != nil {
		info.Published.text(b)
	}
	if c := info.Card; c != nil {
		fmt.Fprintf(b, "\ncard: %s\n", c.Name)
		for _, l := range [][2]string{{"about", c.Description}, {"input", c.Input}, {"licence", c.License},
			{"network", c.Arch}, {"recipe", firstLine(c.Recipe)}, {"quantised", c.Quantised},
			{"checkpoint SHA-256", c.SHA256.Checkpoint}, {"calibration set SHA-256", c.SHA256.Calibration}} {
			if l[1] != "" {
				fmt.Fprintf(b, "  %s: %s\n", l[0], l[1])
			}
		}
		if c.Epochs > 0 {
			fmt.Fprintf(b, "  epochs: %d\n", c.Epochs)
		}
		for _, h := range c.Heads {
			fmt.Fprintf(b, "  head %s: %s\n", h.Name, h.Say())
		}
		for _, d := range c.Training {
			fmt.Fprintf(b, "  trained on %s: %d images, %s\n", d.Name, d.Images, d.Terms)
		}
		for _, a := range c.Accuracy {
			if a.Unit != "" {
				fmt.Fprintf(b, "  error of %s on %s: %.4g %s in %d (float %.4g)\n", a.Head, a.Data, a.MAE, a.Unit, a.N, a.MAEFloat)
				continue
			}
			fmt.Fprintf(b, "  accuracy of %s on %s: %.2f%% of %d (float %.2f%%)\n", a.Head, a.Data, 100*a.File, a.N, 100*a.Float)
			if a.ECE > 0 {
				fmt.Fprintf(b, "    calibration error %.4f, scaled %.4f; %d groups and a confusion matrix (--json)\n", a.ECE, a.Scaled, len(a.Groups))
			}
		}
		for i, t := range c.Temperature {
			fmt.Fprintf(b, "  temperature of %s: %.3f\n", c.Heads[i].Name, t)
		}
		for _, l := range c.Limits {
			fmt.Fprintf(b, "  limit: %s\n", l)
		}
		for line := range strings.Lines(c.Reproduce) {
			fmt.Fprintf(b, "  made by: %s\n", strings.TrimSpace(line))
		}
	}
	for _, u := range info.Unkept {
		fmt.Fprintf(b, "not read: %s\n", u)
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (t Tensor) kind() string {
	s := t.Type
	switch {
	case len(t.Scale) > 1:
		s += fmt.Sprintf(" %d scales", len(t.Scale))
	case len(t.Scale) == 1:
		s += fmt.Sprintf(" scale %.4g zero %d", t.Scale[0], t.Zero)
	}
	return s
}

// mostName is how much of an output's name a table shows: converters join the
// names of all that they fold into an operator.
const mostName = 40

// String says name, shape, type and quantisation.
func (t Tensor) String() string { return fmt.Sprintf("%s %v %s", t.Name, t.sizes(), t.kind()) }

// sizes is the shape, with -1 for what is open.
func (t Tensor) sizes() []int {
	if t.Signature != nil {
		return t.Signature
	}
	return t.Shape
}

// DOT returns the graph in Graphviz's language.
func (info *Info) DOT() string {
	var b strings.Builder
	b.WriteString("digraph model {\n  node [shape=box, fontname=\"sans-serif\"];\n")
	from := map[int]string{}
	for i, t := range info.Inputs {
		id := fmt.Sprintf("in%d", i)
		fmt.Fprintf(&b, "  %s [label=%s, shape=ellipse];\n", id, dotString(t.String()))
		from[t.Index] = id
	}
	for i, o := range info.Operators {
		label := o.Name
		if o.Options != "" {
			label += "\n" + o.Options
		}
		for _, t := range o.Inputs {
			if t.Constant {
				label += "\n" + fmt.Sprintf("%v %s", t.sizes(), t.kind())
			}
		}
		fmt.Fprintf(&b, "  op%d [label=%s];\n", i, dotString(label))
		for _, t := range o.Inputs {
			if src, ok := from[t.Index]; ok && !t.Constant {
				fmt.Fprintf(&b, "  %s -> op%d [label=%s];\n", src, i, dotString(fmt.Sprintf("%s\n%v %s", t.Name, t.sizes(), t.kind())))
			}
		}
		for _, t := range o.Outputs {
			from[t.Index] = fmt.Sprintf("op%d", i)
		}
	}
	for i, t := range info.Outputs {
		fmt.Fprintf(&b, "  out%d [label=%s, shape=ellipse];\n", i, dotString(t.String()))
		if src, ok := from[t.Index]; ok {
			fmt.Fprintf(&b, "  %s -> out%d;\n", src, i)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// dotString quotes for Graphviz, which knows fewer escapes than Go.
func dotString(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' {
			return '?'
		}
		return r
	}, s) + `"`
}
