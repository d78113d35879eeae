package quant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/goccy/go-yaml"

	"mien/runtime/graph"
)

// Plan says what becomes of every layer and tensor of a float graph. It names
// tensors as the float graph does. Apply needs nothing else.
type Plan struct {
	Recipe  Recipe       `json:"recipe"`
	Faces   int          `json:"faces,omitempty"` // that it was calibrated with
	Equal   []Equalised  `json:"equalised,omitempty"`
	Layers  []LayerPlan  `json:"layers"`
	Tensors []TensorPlan `json:"tensors"`
	Notes   []string     `json:"notes,omitempty"`
	// Trials are the recoveries that were tried.
	Trials []Trial `json:"trials,omitempty"`
	// Model is the Fingerprint of the float graph that the plan is for; Apply
	// refuses another. Empty means any.
	Model string `json:"model,omitempty"`
}

// Clone returns a copy that can be changed.
func (p *Plan) Clone() *Plan {
	c := *p
	c.Equal, c.Layers, c.Tensors = slices.Clone(p.Equal), slices.Clone(p.Layers), slices.Clone(p.Tensors)
	c.Notes, c.Trials = slices.Clone(p.Notes), slices.Clone(p.Trials)
	return &c
}

// LayerPlan says what a layer computes with. A layer is an operator, called as
// its output is.
type LayerPlan struct {
	Name     string `json:"name"`
	Operator string `json:"operator"`
	Type     string `json:"type"` // float32, int8 or int16
}

// Role is what a tensor is for.
type Role string

// The roles.
const (
	Input      Role = "input"
	Activation Role = "activation"
	Weight     Role = "weight"
	Bias       Role = "bias"
)

// TensorPlan says how a tensor is stored. Scale has one value, or one for each
// channel along Axis; a stored integer q means scale*(q-zero).
type TensorPlan struct {
	Name string     `json:"name"`
	Role Role       `json:"role"`
	Type string     `json:"type"`
	Clip [2]float64 `json:"clip,omitzero"` // the real range of an activation
	// Floor says that what reads the tensor, an ELU, gives the same for all
	// that is below Clip.
	Floor bool      `json:"floor,omitempty"`
	Scale []float32 `json:"scale,omitempty"`
	Zero  int64     `json:"zero,omitempty"`
	Axis  int       `json:"axis,omitempty"`
	// Rounding marks the weights that are rounded the other way than to the
	// nearest: a bit for each, deflated, in base64.
	Rounding string `json:"rounding,omitempty"`
	// Shift is added to each value of a bias before it is stored.
	Shift []float32 `json:"shift,omitempty"`
}

// Tensor returns the plan of the tensor of that name, or nil.
func (p *Plan) Tensor(name string) *TensorPlan {
	i := slices.IndexFunc(p.Tensors, func(t TensorPlan) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Tensors[i]
}

// JSON returns the plan as it is saved.
func (p *Plan) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return nil, fmt.Errorf("quant: plan: %w", err)
	}
	return append(b, '\n'), nil
}

// YAML returns the same as YAML.
func (p *Plan) YAML() ([]byte, error) {
	b, err := p.JSON()
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(b)
}

// maxPlan bounds what ParsePlan reads.
const maxPlan = 64 << 20

// ParsePlan reads a plan saved as JSON or YAML.
func ParsePlan(b []byte) (*Plan, error) {
	if len(b) > maxPlan {
		return nil, fmt.Errorf("quant: plan: %d bytes is over the limit of %d", len(b), maxPlan)
	}
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		var err error
		if b, err = yaml.YAMLToJSON(b); err != nil {
			return nil, fmt.Errorf("quant: plan: %w", err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	p := &Plan{}
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("quant: plan: %w", err)
	}
	if err := p.Recipe.Check(); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("quant: plan: %w", err)
	}
	return p, nil
}

// check says what is wrong with a plan by itself.
func (p *Plan) check() error {
	if len(p.Layers) == 0 {
		return errors.New("it has no layers")
	}
	layers := map[string]bool{}
	for _, l := range p.Layers {
		if !slices.Contains([]string{"float32", "int8", "int16"}, l.Type) {
			return fmt.Errorf("layer %s is of type %q (want float32, int8 or int16)", l.Name, l.Type)
		}
		if layers[l.Name] {
			return fmt.Errorf("layer %s is there twice", l.Name)
		}
		layers[l.Name] = true
	}
	types := map[Role][]string{Input: {"int8", "int16"}, Activation: {"int8", "int16"}, Weight: {"float32", "float16", "int8", "int16"},
		Bias: {"float32", "float16", "int32", "int64"}}
	tensors := map[string]bool{}
	for _, t := range p.Tensors {
		allowed, ok := types[t.Role]
		switch {
		case !ok:
			return fmt.Errorf("tensor %s has the role %q", t.Name, t.Role)
		case !slices.Contains(allowed, t.Type):
			return fmt.Errorf("tensor %s, of role %s, is of type %q (want one of %v)", t.Name, t.Role, t.Type, allowed)
		case tensors[t.Name]:
			return fmt.Errorf("tensor %s is there twice", t.Name)
		}
		tensors[t.Name] = true
	}
	return nil
}

// Floors returns, by name, the real values below which nothing matters.
func (p *Plan) Floors() map[string]float32 {
	out := map[string]float32{}
	for _, t := range p.Tensors {
		if t.Floor {
			out[t.Name] = float32(t.Clip[0])
		}
	}
	return out
}

// NewPlan decides what becomes of each tensor of the float graph g. Stats come
// from Calibrate on the same graph, and may be nil where Recipe.Calibrated
// says so.
func NewPlan(g *graph.Graph, stats *Stats, r Recipe) (*Plan, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if err := plainFloat(g); err != nil {
		return nil, err
	}
	r = r.defaults()
	p := &planner{g: g, stats: stats, r: r, plan: &Plan{Recipe: r}, floor: map[int]bool{}, group: map[int]int{}}
	if stats != nil {
		p.plan.Faces = stats.Faces
	}
	if err := p.layers(); err != nil {
		return nil, err
	}
	if r.integer() {
		if stats == nil {
			return nil, fmt.Errorf("quant: mode %s needs calibration", r.Mode)
		}
		if err := p.activations(); err != nil {
			return nil, err
		}
	}
	if err := p.constants(); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// plainFloat says why g is not a float graph that can be quantised.
func plainFloat(g *graph.Graph) error {
	for _, t := range g.Tensors {
		switch t.Type {
		case graph.Float32, graph.Int32, graph.Int64, graph.Bool:
			if t.Quant == nil {
				continue
			}
		}
		return fmt.Errorf("quant: tensor %s is %s already; start from the float32 model", t.Name, t.Type)
	}
	seen := map[string]bool{}
	for _, t := range g.Tensors {
		if seen[t.Name] {
			return fmt.Errorf("quant: two tensors are called %q; a plan goes by names", t.Name)
		}
		seen[t.Name] = true
	}
	for _, o := range g.Ops {
		if known, ok := graph.Known(o.Kind); len(o.Outputs) < 1 || ok && len(o.Outputs) > max(known.Outputs, 1) {
			return fmt.Errorf("quant: operator %s has %d outputs", o.Name(), len(o.Outputs))
		}
	}
	return g.Check()
}

type planner struct {
	g     *graph.Graph
	stats *Stats
	r     Recipe
	plan  *Plan
	kinds map[int]graph.Type // what computes each tensor
	floor map[int]bool       // see TensorPlan.Floor
	group map[int]int        // tensors that share one range point to one of them
}

// root stands for the tensors that share a range with one.
func (p *planner) root(i int) int {
	for {
		up, ok := p.group[i]
		if !ok || up == i {
			return i
		}
		i = up
	}
}

// tied are the tensors that share a range with one, itself among them.
func (p *planner) tied(i int) []int {
	out := []int{i}
	for k := range p.group {
		if k != i && p.root(k) == p.root(i) {
			out = append(out, k)
		}
	}
	if r := p.root(i); r != i && !slices.Contains(out, r) {
		out = append(out, r)
	}
	return out
}

func (p *planner) layers() error {
	p.kinds = map[int]graph.Type{}
	used := map[string]bool{}
	for _, o := range p.g.Ops {
		name := p.g.Tensors[o.Outputs[0]].Name
		t := p.layerType(o, name)
		for _, i := range o.Outputs {
			p.kinds[i] = t
		}
		p.plan.Layers = append(p.plan.Layers, LayerPlan{name, o.Name(), t.String()})
		for _, pattern := range slices.Concat(p.r.Float, p.r.Int16) {
			if matches([]string{pattern}, name) {
				used[pattern] = true
			}
		}
	}
	for _, pattern := range slices.Concat(p.r.Float, p.r.Int16) {
		if !used[pattern] {
			var names []string
			for _, l := range p.plan.Layers {
				names = append(names, l.Name)
			}
			return fmt.Errorf("quant: no layer matches %q (there are %v)", pattern, names)
		}
	}
	return nil
}

func (p *planner) layerType(o *graph.Op, name string) graph.Type {
	if !p.r.integer() || matches(p.r.Float, name) || !computesFloats(p.g, o) {
		return graph.Float32
	}
	if weighted(o) && !p.g.Tensors[o.Inputs[1]].Const() {
		p.note("%s (%s) computes in float32: its weights are computed, too, and integer kernels take constant ones", name, o.Name())
		return graph.Float32
	}
	want := graph.Int8
	if p.r.Mode == Int16x8 || matches(p.r.Int16, name) {
		want = graph.Int16
	}
	if known := operatorOf(o); known.Converts || known.Versions.Of(want) == 0 {
		p.note("%s (%s) computes in float32: TensorFlow Lite has no %s operator for it", name, o.Name(), want)
		return graph.Float32
	}
	return want
}

// computesFloats says whether an operator reads or makes float32 values that
// are not constant; others, as those of shapes, stay as they are.
func computesFloats(g *graph.Graph, o *graph.Op) bool {
	return slices.ContainsFunc(slices.Concat(o.Inputs, o.Outputs), func(i int) bool {
		return i >= 0 && !g.Tensors[i].Const() && g.Tensors[i].Type == graph.Float32
	})
}

func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

// activations plans the inputs and everything computed, in integers of its
// layer's type. A tensor of a float layer gets int8 parameters too: integer
// layers may read it.
func (p *planner) activations() error {
	p.setApart()
	clip := map[int][2]float64{}
	for i, t := range p.g.Tensors {
		if t.Const() || t.Type != graph.Float32 {
			continue
		}
		s := p.stats.Tensors[t.Name]
		if s == nil {
			return fmt.Errorf("quant: the calibration did not see tensor %s", t.Name)
		}
		levels := 256
		if p.typeOf(i) == graph.Int16 {
			levels = 65536
		}
		r := p.r
		if levels == 65536 && (r.Calibrator == Entropy || r.Calibrator == MSE) {
			r.Calibrator = MinMax // the histogram is coarser than the levels
		}
		if decides(p.g, i) {
			r.Calibrator = MinMax
		}
		lo, hi := rangeOf(s, r, levels)
		if s.Bounds != nil {
			lo, hi = min(s.Bounds[0], 0), max(s.Bounds[1], 0)
		}
		clip[i] = [2]float64{lo, hi}
	}
	p.elu(clip)
	p.tie(clip)
	p.bound(clip)
	for i, t := range p.g.Tensors {
		if t.Const() || t.Type != graph.Float32 {
			continue
		}
		role := Activation
		if slices.Contains(p.g.Inputs, i) {
			role = Input
		}
		typ := p.typeOf(i)
		tp := TensorPlan{Name: t.Name, Role: role, Type: typ.String(), Clip: clip[i], Floor: p.floor[i]}
		scale, zero := affineOf(clip[i][0], clip[i][1], typ)
		if s, z, range_, fixed := fixedScale(p.fixedRule(i), typ); fixed {
			scale, zero, tp.Clip = s, z, range_ // the kernels demand it
		}
		tp.Scale, tp.Zero = []float32{scale}, zero
		p.plan.Tensors = append(p.plan.Tensors, tp)
	}
	return nil
}

// decides says whether a tensor is read by a softmax. Nothing of it is clipped:
// its largest values are the answer.
func decides(g *graph.Graph, i int) bool {
	o := reader(g, i)
	return o != nil && o.Kind == graph.Softmax
}

// elu fits the ranges around each int8 ELU to what ELU does, whatever the
// calibrator chose.
//
// Much of what an ELU gives is -1, nearly: units that are off. A batch norm
// that finds a unit always off has a scale of 30, and makes as many steps of
// error out of the one rounding of -1; so -1 gets an integer of its own, by a
// scale that goes into 1.
//
// What ELU reads may be clipped below where its result is within a quarter of
// a step of -1, and all the integers serve the rest of the range.
func (p *planner) elu(clip map[int][2]float64) {
	for _, o := range p.g.Ops {
		in, out := o.Inputs[0], o.Outputs[0]
		if o.Kind != graph.Elu || p.kinds[out] != graph.Int8 || clip[out][0] > -0.9 {
			continue
		}
		below := math.Floor(255 / (clip[out][1] + 1)) // integers from -1 to 0
		if below < 1 {
			continue
		}
		clip[out] = [2]float64{-1, 255/below - 1}
		if reader(p.g, in) == o {
			if floor := math.Log(0.25 / below); floor > clip[in][0] {
				clip[in] = [2]float64{floor, clip[in][1]}
				p.floor[in] = true
			}
		}
	}
}

func (p *planner) producer(tensor int) *graph.Op {
	for _, o := range p.g.Ops {
		if slices.Contains(o.Outputs, tensor) {
			return o
		}
	}
	return nil
}

// typeOf is the integer type in which a tensor is stored where it is stored in
// integers.
func (p *planner) typeOf(i int) graph.Type {
	if t, ok := p.kinds[i]; ok && t != graph.Float32 {
		return t
	}
	if p.r.Mode == Int16x8 {
		return graph.Int16
	}
	return graph.Int8
}

// constants plans weights and biases.
func (p *planner) constants() error {
	done := map[int]bool{}
	for _, o := range p.g.Ops {
		for slot, i := range o.Inputs {
			if i < 0 || done[i] || !p.g.Tensors[i].Const() || p.g.Tensors[i].Type != graph.Float32 {
				continue
			}
			done[i] = true
			tp, err := p.constant(o, slot)
			if err != nil {
				return fmt.Errorf("quant: tensor %s: %w", p.g.Tensors[i].Name, err)
			}
			p.plan.Tensors = append(p.plan.Tensors, tp)
		}
	}
	return nil
}

// dynamicMin is the number of weights from which the dynamic mode quantises
// them; smaller ones save nothing. It is the converter's threshold too.
const dynamicMin = 1024

func (p *planner) constant(o *graph.Op, slot int) (TensorPlan, error) {
	t := p.g.Tensors[o.Inputs[slot]]
	role := Weight
	if w := operatorOf(o).Weights; w != nil && slot == w.Bias {
		role = Bias
	}
	tp := TensorPlan{Name: t.Name, Role: role, Type: graph.Float32.String()}
	v := floats(t.Data)
	for _, x := range v {
		if x-x != 0 {
			return tp, errors.New("it holds NaN or infinity")
		}
	}
	layer := p.kinds[o.Outputs[0]]
	switch {
	case p.r.Mode == Float16:
		for _, x := range v {
			if x > 65504 || x < -65504 {
				return tp, fmt.Errorf("it holds %g, and float16 ends at 65504: take another mode", x)
			}
		}
		tp.Type = graph.Float16.String()
		return tp, nil
	case p.r.Mode == Dynamic:
		// A filter that sees one channel is too small to be worth it.
		if known := operatorOf(o); role == Weight && len(v) >= dynamicMin && known.Versions.Hybrid > 0 && known.Weights.In >= 0 {
			p.weights(&tp, o, v, nil, 0)
		}
		return tp, nil
	case layer == graph.Float32:
		return tp, nil
	case role == Bias:
		tp.Type = graph.Int32.String()
		if layer == graph.Int16 {
			tp.Type = graph.Int64.String()
		}
		// Its scale follows from the weights and the input.
		w := p.plan.Tensor(p.g.Tensors[o.Inputs[1]].Name)
		in, err := p.inputScale(o, layer)
		if w == nil || err != nil {
			return tp, errors.Join(err, errors.New("its layer's weights or input have no scale"))
		}
		for _, s := range w.Scale {
			tp.Scale = append(tp.Scale, s*in)
		}
		return tp, nil
	case weighted(o):
		var bias []float32
		if b := biasOf(o); b >= 0 {
			bias = floats(p.g.Tensors[b].Data)
		}
		in, err := p.inputScale(o, layer)
		if err != nil {
			return tp, err
		}
		p.weights(&tp, o, v, bias, in)
		return tp, nil
	}
	if keepsScale(o) { // what is joined, compared or padded with has the others' scale
		out := p.plan.Tensor(p.g.Tensors[o.Outputs[0]].Name)
		tp.Type, tp.Scale, tp.Zero = layer.String(), out.Scale, out.Zero
		return tp, nil
	}
	// The constant side of an addition or multiplication.
	lo, hi := 0.0, 0.0
	for _, x := range v {
		lo, hi = min(lo, float64(x)), max(hi, float64(x))
	}
	scale, zero := affineOf(lo, hi, layer)
	tp.Type, tp.Scale, tp.Zero = layer.String(), []float32{scale}, zero
	return tp, nil
}

// inputScale is the scale of what an operator reads, in the type in which it
// reads it.
func (p *planner) inputScale(o *graph.Op, layer graph.Type) (float32, error) {
	in := p.plan.Tensor(p.g.Tensors[o.Inputs[operatorOf(o).Data]].Name)
	if in == nil || len(in.Scale) != 1 {
		return 0, errors.New("its layer's input has no scale")
	}
	scale, _ := in.affine(layer)
	return scale, nil
}

// affine returns scale and zero point of an activation in one type. Where the
// plan has them for another integer type, its range serves.
func (t *TensorPlan) affine(typ graph.Type) (scale float32, zero int64) {
	if t.Type == typ.String() && len(t.Scale) == 1 {
		return t.Scale[0], t.Zero
	}
	return affineOf(min(t.Clip[0], 0), max(t.Clip[1], 0), typ)
}

// weights plans int8 weights: symmetric, a scale for each output channel of a
// convolution, one for all of a dense layer, whose kernels read only one.
func (p *planner) weights(tp *TensorPlan, o *graph.Op, v, bias []float32, inScale float32) {
	t := p.g.Tensors[o.Inputs[1]]
	tp.Type = graph.Int8.String()
	tp.Axis = -1 // along which scales may differ
	n := 1
	if layout := operatorOf(o).Weights; layout.PerChannel {
		tp.Axis = layout.Out
		n = t.Shape[tp.Axis]
	}
	peak := peaks(v, t.Shape, tp.Axis, n)
	for c := range n {
		s := peak[c] / float32(p.r.Levels())
		// A bias that is large against its channel's weights must still fit
		// its 32 bits, with room to add up.
		for k, b := range bias {
			if n == 1 || k == c {
				s = max(s, max(b, -b)/inScale/(1<<29))
			}
		}
		tp.Scale = append(tp.Scale, s)
	}
	p.channels(tp, o, inScale)
	tp.Axis = max(tp.Axis, 0)
}

// channels gives channels whose weights are nothing, or next to it, a scale that
// engines take: see bound.
func (p *planner) channels(tp *TensorPlan, o *graph.Op, in float32) {
	most := slices.Max(tp.Scale)
	least := most * minConv
	if out := p.plan.Tensor(p.g.Tensors[o.Outputs[0]].Name); out != nil && in > 0 {
		if s, _ := out.affine(p.kinds[o.Outputs[0]]); s > 0 {
			least = max(least, s/in*minConv)
			if !(most > 1e-30) {
				most = s / in // nothing but zeros
			}
		}
	}
	if !(most > 1e-30) {
		most = 1
	}
	for c, s := range tp.Scale {
		if !(s > 1e-30) {
			s = most
		}
		tp.Scale[c] = max(s, least)
	}
}

// peaks returns the largest magnitude of each of n slices along axis.
func peaks(v []float32, shape []int, axis, n int) []float32 {
	out := make([]float32, n)
	inner := 1
	if axis >= 0 {
		for _, d := range shape[axis+1:] {
			inner *= d
		}
	}
	for i, x := range v {
		c := 0
		if axis >= 0 {
			c = i / inner % n
		}
		out[c] = max(out[c], max(x, -x))
	}
	return out
}
