package flatfile

import (
	"bytes"
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile/internal/schema"
)

// Unmarshal reads a .tflite file. Any bytes give a graph that passes its Check
// or an error. The graph's constants and metadata point into b, which must
// stay as it is; what Unmarshal allocates beside is bounded by a small multiple
// of len(b).
func Unmarshal(b []byte) (g *graph.Graph, err error) {
	if bytes.HasPrefix(b, []byte("version https://git-lfs")) {
		return nil, errors.New("flatfile: a Git LFS pointer, not the model itself: fetch that with `git lfs pull`")
	}
	if len(b) < 8 || string(b[4:8]) != identifier {
		return nil, errors.New("flatfile: not a .tflite file (no TFL3 at byte 4)")
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("flatfile: %d bytes is over the limit of %d", len(b), maxFile)
	}
	// The generated accessors follow offsets without looking; an offset out of
	// the file becomes an index out of the slice. Nothing they do writes,
	// loops or allocates, and what this package allocates r.budget bounds.
	defer func() {
		if p := recover(); p != nil {
			g, err = nil, errors.New("flatfile: the file is cut or damaged: an offset points outside")
		}
	}()
	r := &reader{b: b, g: &graph.Graph{}, budget: 4*len(b) + 1<<16}
	if err := r.model(); err != nil {
		return nil, fmt.Errorf("flatfile: %w", err)
	}
	if err := r.g.Check(); err != nil {
		return nil, fmt.Errorf("flatfile: %w", err)
	}
	return r.g, nil
}

type reader struct {
	b       []byte
	m       *schema.Model
	g       *graph.Graph
	codes   []opCode
	budget  int
	unknown map[string]bool
}

type opCode struct {
	kind    graph.Kind
	custom  string
	version int
}

// errBudget stops a small file whose vectors overlap, or claim lengths, such
// that reading it would take much more memory than it has bytes.
var errBudget = errors.New("the file's vectors claim more than the file holds")

func (r *reader) take(n, size int) error {
	if n < 0 || n > len(r.b) || r.budget < n*size {
		return errBudget
	}
	r.budget -= n * size
	return nil
}

func (r *reader) unkept(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if !r.unknown[s] && len(r.unknown) < 100 {
		if r.unknown == nil {
			r.unknown = map[string]bool{}
		}
		r.unknown[s] = true
		r.g.Unkept = append(r.g.Unkept, s)
	}
}

func (r *reader) model() error {
	r.m = schema.GetRootAsModel(r.b, 0)
	if v := r.m.Version(); v != schemaVersion {
		return fmt.Errorf("schema version %d (only %d is known)", v, schemaVersion)
	}
	if r.m.SubgraphsLength() == 0 {
		return errors.New("the file holds no graph")
	}
	if n := r.m.SubgraphsLength(); n > 1 {
		r.unkept("%d more subgraphs", n-1)
	}
	var err error
	if r.g.Description, err = r.text(r.m.Description()); err != nil {
		return err
	}
	if err := r.opCodes(); err != nil {
		return err
	}
	var sub schema.SubGraph
	r.m.Subgraphs(&sub, 0)
	if err := r.subgraph(&sub); err != nil {
		return err
	}
	if err := r.metadata(); err != nil {
		return err
	}
	return r.signatures()
}

func (r *reader) text(b []byte) (string, error) {
	if err := r.take(len(b), 1); err != nil {
		return "", err
	}
	return string(b), nil
}

func (r *reader) opCodes() error {
	n := r.m.OperatorCodesLength()
	if err := r.take(n, 40); err != nil {
		return err
	}
	for i := range n {
		var c schema.OperatorCode
		r.m.OperatorCodes(&c, i)
		custom, err := r.text(c.CustomCode())
		if err != nil {
			return err
		}
		// Files from before the wider field have the number in the old one.
		kind := max(int32(c.DeprecatedBuiltinCode()), c.BuiltinCode())
		if kind < 0 {
			return fmt.Errorf("operator code %d is %d", i, kind)
		}
		r.codes = append(r.codes, opCode{graph.Kind(kind), custom, int(c.Version())})
	}
	return nil
}

func (r *reader) subgraph(sub *schema.SubGraph) error {
	if n := sub.TensorsLength(); n > maxTensors {
		return fmt.Errorf("%d tensors, over the limit of %d", n, maxTensors)
	}
	if n := sub.OperatorsLength(); n > maxOps {
		return fmt.Errorf("%d operators, over the limit of %d", n, maxOps)
	}
	var err error
	if r.g.Name, err = r.text(sub.Name()); err != nil {
		return err
	}
	if r.g.Inputs, err = ints(r, sub.InputsLength(), sub.Inputs); err != nil {
		return err
	}
	if r.g.Outputs, err = ints(r, sub.OutputsLength(), sub.Outputs); err != nil {
		return err
	}
	for i := range sub.TensorsLength() {
		var t schema.Tensor
		sub.Tensors(&t, i)
		if err := r.tensor(&t); err != nil {
			return fmt.Errorf("tensor %d: %w", i, err)
		}
	}
	for i := range sub.OperatorsLength() {
		var o schema.Operator
		sub.Operators(&o, i)
		if err := r.operator(&o); err != nil {
			return fmt.Errorf("operator %d: %w", i, err)
		}
	}
	return nil
}

func ints[T int32 | uint32 | uint16 | byte](r *reader, n int, at func(int) T) ([]int, error) {
	if n == 0 {
		return nil, nil
	}
	if err := r.take(n, 8); err != nil {
		return nil, err
	}
	v := make([]int, n)
	for i := range v {
		v[i] = int(at(i))
	}
	return v, nil
}

func list[T any](r *reader, n int, at func(int) T) ([]T, error) {
	if n == 0 {
		return nil, nil
	}
	if err := r.take(n, 8); err != nil {
		return nil, err
	}
	v := make([]T, n)
	for i := range v {
		v[i] = at(i)
	}
	return v, nil
}

// tensorBytes is about what a graph.Tensor takes. Many entries of a vector may
// point at one table, so the file's length alone is no bound.
const tensorBytes = 40

func (r *reader) tensor(t *schema.Tensor) error {
	if err := r.take(1, tensorBytes); err != nil {
		return err
	}
	out := &graph.Tensor{Type: graph.Type(t.Type()), Variable: t.IsVariable(), HasRank: t.HasRank()}
	var err error
	if out.Name, err = r.text(t.Name()); err != nil {
		return err
	}
	if out.Shape, err = ints(r, t.ShapeLength(), t.Shape); err != nil {
		return err
	}
	if out.Signature, err = ints(r, t.ShapeSignatureLength(), t.ShapeSignature); err != nil {
		return err
	}
	if out.Data, err = r.buffer(t.Buffer()); err != nil {
		return err
	}
	if p := t.Sparsity(nil); p != nil && out.Const() {
		if out.Data, err = r.dense(p, out); err != nil {
			return fmt.Errorf("sparse tensor %q: %w", out.Name, err)
		}
		out.Sparse = true
	}
	if t.VariantTensorsLength() > 0 {
		r.unkept("the variants of tensor %q", out.Name)
	}
	if q := t.Quantization(nil); q != nil {
		if out.Quant, err = r.quantisation(q, out.Name); err != nil {
			return err
		}
	}
	// Converters of 2019 gave a bias the axis of its layer's weights.
	if q := out.Quant; q.Channels() && len(out.Shape) == 1 && len(q.Scale) == out.Shape[0] {
		q.Axis = 0
	}
	r.g.Tensors = append(r.g.Tensors, out)
	return nil
}

func (r *reader) quantisation(q *schema.QuantizationParameters, name string) (*graph.Quant, error) {
	if q.DetailsType() != 0 {
		r.unkept("the custom quantisation of tensor %q", name)
	}
	out := &graph.Quant{Axis: int(q.QuantizedDimension())}
	var err error
	if out.Scale, err = list(r, q.ScaleLength(), q.Scale); err != nil {
		return nil, err
	}
	if out.Zero, err = list(r, q.ZeroPointLength(), q.ZeroPoint); err != nil {
		return nil, err
	}
	if out.Min, err = list(r, q.MinLength(), q.Min); err != nil {
		return nil, err
	}
	if out.Max, err = list(r, q.MaxLength(), q.Max); err != nil {
		return nil, err
	}
	if len(out.Scale) == 0 && len(out.Zero) == 0 && len(out.Min) == 0 && len(out.Max) == 0 {
		return nil, nil
	}
	return out, nil
}

func (r *reader) buffer(i uint32) ([]byte, error) {
	if i == 0 {
		return nil, nil
	}
	if int64(i) >= int64(r.m.BuffersLength()) {
		return nil, fmt.Errorf("buffer %d of %d", i, r.m.BuffersLength())
	}
	var b schema.Buffer
	r.m.Buffers(&b, int(i))
	if b.Offset() > 1 {
		return nil, errors.New("its data lies outside the flatbuffer, which mien does not read")
	}
	if b.DataLength() == 0 {
		return nil, nil
	}
	d := b.DataBytes()
	return d[:len(d):len(d)], nil
}

func (r *reader) operator(o *schema.Operator) error {
	if err := r.take(1, tensorBytes); err != nil {
		return err
	}
	if int64(o.OpcodeIndex()) >= int64(len(r.codes)) {
		return fmt.Errorf("operator code %d of %d", o.OpcodeIndex(), len(r.codes))
	}
	c := r.codes[o.OpcodeIndex()]
	out := &graph.Op{Kind: c.kind, Custom: c.custom, Version: c.version}
	var err error
	if out.Inputs, err = ints(r, o.InputsLength(), o.Inputs); err != nil {
		return err
	}
	if out.Outputs, err = ints(r, o.OutputsLength(), o.Outputs); err != nil {
		return err
	}
	if out.Intermediates, err = ints(r, o.IntermediatesLength(), o.Intermediates); err != nil {
		return err
	}
	if out.Mutates, err = list(r, o.MutatingVariableInputsLength(), o.MutatingVariableInputs); err != nil {
		return err
	}
	if d := o.CustomOptionsBytes(); len(d) > 0 {
		out.CustomData = d[:len(d):len(d)]
	}
	if o.LargeCustomOptionsOffset() > 1 || o.BuiltinOptions2Type() != 0 || o.CustomOptionsFormat() != 0 {
		r.unkept("options of operator %s in a newer form", out.Name())
	}
	if out.Options, err = r.options(o, out); err != nil {
		return err
	}
	r.g.Ops = append(r.g.Ops, out)
	return nil
}

func (r *reader) metadata() error {
	n := r.m.MetadataLength()
	if err := r.take(n, tensorBytes); err != nil {
		return err
	}
	for i := range n {
		var m schema.Metadata
		r.m.Metadata(&m, i)
		name, err := r.text(m.Name())
		if err != nil {
			return err
		}
		data, err := r.buffer(m.Buffer())
		if err != nil {
			return fmt.Errorf("metadata %q: %w", name, err)
		}
		r.g.Metadata = append(r.g.Metadata, graph.Metadata{Name: name, Data: data})
	}
	return nil
}

func (r *reader) signatures() error {
	n := r.m.SignatureDefsLength()
	if err := r.take(n, tensorBytes); err != nil {
		return err
	}
	for i := range n {
		var s schema.SignatureDef
		r.m.SignatureDefs(&s, i)
		if s.SubgraphIndex() != 0 {
			r.unkept("the signature of subgraph %d", s.SubgraphIndex())
			continue
		}
		var out graph.Signature
		var err error
		if out.Key, err = r.text(s.SignatureKey()); err != nil {
			return err
		}
		if out.Inputs, err = r.named(s.InputsLength(), s.Inputs); err != nil {
			return err
		}
		if out.Outputs, err = r.named(s.OutputsLength(), s.Outputs); err != nil {
			return err
		}
		r.g.Signatures = append(r.g.Signatures, out)
	}
	return nil
}

func (r *reader) named(n int, at func(*schema.TensorMap, int) bool) ([]graph.NamedTensor, error) {
	if err := r.take(n, 24); err != nil {
		return nil, err
	}
	var out []graph.NamedTensor
	for i := range n {
		var m schema.TensorMap
		at(&m, i)
		name, err := r.text(m.Name())
		if err != nil {
			return nil, err
		}
		if int64(m.TensorIndex()) >= int64(len(r.g.Tensors)) {
			return nil, fmt.Errorf("signature entry %q is tensor %d of %d", name, m.TensorIndex(), len(r.g.Tensors))
		}
		out = append(out, graph.NamedTensor{Name: name, Tensor: int(m.TensorIndex())})
	}
	return out, nil
}

// options reads the options of an operator: those that mien knows into a
// struct, others field by field.
func (r *reader) options(o *schema.Operator, op *graph.Op) (graph.Options, error) {
	union := o.BuiltinOptionsType()
	table := o.BuiltinOptions(nil)
	if union == 0 || table == nil {
		return nil, nil
	}
	fields, known := layout(union)
	if !known {
		r.unkept("options of operator %s (kind %d of a newer schema)", op.Name(), union)
		return nil, nil
	}
	raw, err := r.raw(table.Table(), fields, op)
	if err != nil {
		return nil, err
	}
	if known, ok := graph.Known(op.Kind); ok && known.Union == union {
		return r.decode(raw, op, known.Options)
	}
	return graph.RawOptions{Type: union, Fields: raw}, nil
}

// raw reads the fields of a table with that layout.
func (r *reader) raw(t flatbuffers.Table, layout string, op *graph.Op) ([][]byte, error) {
	vtable := flatbuffers.UOffsetT(flatbuffers.SOffsetT(t.Pos) - t.GetSOffsetT(t.Pos))
	slots := int(t.GetVOffsetT(vtable))/2 - 2
	for i := len(layout); i < slots; i++ {
		if t.Offset(flatbuffers.VOffsetT(4+2*i)) != 0 {
			r.unkept("an option of operator %s that a newer schema has", op.Name())
		}
	}
	if err := r.take(len(layout), 24); err != nil {
		return nil, err
	}
	out := make([][]byte, len(layout))
	for i, kind := range layout {
		at := flatbuffers.UOffsetT(t.Offset(flatbuffers.VOffsetT(4 + 2*i)))
		if at == 0 {
			continue
		}
		var b []byte
		switch p := at + t.Pos; kind {
		case 'b':
			b = t.Bytes[p : p+1]
		case 'i':
			b = t.Bytes[p : p+4]
		case 'l':
			b = t.Bytes[p : p+8]
		case 's':
			b = t.ByteVector(p)
		case 'v':
			start, n := t.Vector(at), t.VectorLen(at)
			if n > len(t.Bytes)/4 {
				return nil, errBudget
			}
			b = t.Bytes[start : int(start)+4*n]
		}
		if b == nil {
			b = []byte{}
		}
		out[i] = b[:len(b):len(b)]
	}
	return out, nil
}
