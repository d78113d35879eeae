package flatfile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile/internal/schema"
)

// Marshal returns g as a .tflite file. The same graph gives the same bytes.
// It refuses a graph that does not pass its Check or lists Unkept parts.
func Marshal(g *graph.Graph) ([]byte, error) {
	if len(g.Unkept) > 0 {
		return nil, fmt.Errorf("flatfile: the graph was read from a file with parts that cannot be written again: %s",
			strings.Join(g.Unkept, ", "))
	}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("flatfile: %w", err)
	}
	size := 1 << 16
	for _, t := range g.Tensors {
		if t.Sparse {
			return nil, fmt.Errorf("flatfile: tensor %q is stored sparsely, which mien does not write", t.Name)
		}
		size += len(t.Data)
	}
	if size > maxFile {
		return nil, fmt.Errorf("flatfile: %d bytes of constants is over the limit of %d", size, maxFile)
	}
	w := &writer{b: flatbuffers.NewBuilder(size), g: g, known: map[[32]byte]uint32{}, codes: map[opCode]int{}}
	out, err := w.model()
	if err != nil {
		return nil, fmt.Errorf("flatfile: %w", err)
	}
	return out, nil
}

type writer struct {
	b       *flatbuffers.Builder
	g       *graph.Graph
	buffers []flatbuffers.UOffsetT
	known   map[[32]byte]uint32 // buffers by content
	codes   map[opCode]int
	order   []opCode
}

func (w *writer) model() ([]byte, error) {
	w.buffer(nil) // by convention the first one is empty
	metadata := w.metadata()
	sub, err := w.subgraph()
	if err != nil {
		return nil, err
	}
	signatures := w.signatures()
	codes := w.opCodes()
	subs := w.vector([]flatbuffers.UOffsetT{sub})
	buffers := w.vector(w.buffers)
	description := w.text(w.g.Description)

	schema.ModelStart(w.b)
	schema.ModelAddVersion(w.b, schemaVersion)
	schema.ModelAddOperatorCodes(w.b, codes)
	schema.ModelAddSubgraphs(w.b, subs)
	schema.ModelAddDescription(w.b, description)
	schema.ModelAddBuffers(w.b, buffers)
	schema.ModelAddMetadata(w.b, metadata)
	schema.ModelAddSignatureDefs(w.b, signatures)
	w.b.FinishWithFileIdentifier(schema.ModelEnd(w.b), []byte(identifier))
	return w.b.FinishedBytes(), nil
}

// text stores a string; an empty one takes no space.
func (w *writer) text(s string) flatbuffers.UOffsetT {
	if s == "" {
		return 0
	}
	return w.b.CreateString(s)
}

func (w *writer) vector(v []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	if len(v) == 0 {
		return 0
	}
	return w.b.CreateVectorOfTables(v)
}

func (w *writer) ints(v []int) (flatbuffers.UOffsetT, error) {
	if len(v) == 0 {
		return 0, nil
	}
	w.b.StartVector(4, len(v), 4)
	for i := len(v) - 1; i >= 0; i-- {
		if int(int32(v[i])) != v[i] {
			return 0, fmt.Errorf("%d does not fit 32 bits", v[i])
		}
		w.b.PlaceInt32(int32(v[i]))
	}
	return w.b.EndVector(len(v)), nil
}

func (w *writer) floats(v []float32) flatbuffers.UOffsetT {
	if len(v) == 0 {
		return 0
	}
	w.b.StartVector(4, len(v), 4)
	for i := len(v) - 1; i >= 0; i-- {
		w.b.PlaceFloat32(v[i])
	}
	return w.b.EndVector(len(v))
}

func (w *writer) longs(v []int64) flatbuffers.UOffsetT {
	if len(v) == 0 {
		return 0
	}
	w.b.StartVector(8, len(v), 8)
	for i := len(v) - 1; i >= 0; i-- {
		w.b.PlaceInt64(v[i])
	}
	return w.b.EndVector(len(v))
}

// buffer stores data once, 16-byte aligned as the schema demands (kernels read
// it in place), and returns its index.
func (w *writer) buffer(data []byte) uint32 {
	key := sha256.Sum256(data)
	if i, ok := w.known[key]; ok {
		return i
	}
	var at flatbuffers.UOffsetT
	if len(data) > 0 {
		w.b.Prep(16, len(data))
		at = w.b.CreateByteVector(data)
	}
	schema.BufferStart(w.b)
	schema.BufferAddData(w.b, at)
	w.buffers = append(w.buffers, schema.BufferEnd(w.b))
	i := uint32(len(w.buffers) - 1)
	w.known[key] = i
	return i
}

func (w *writer) metadata() flatbuffers.UOffsetT {
	var all []flatbuffers.UOffsetT
	for _, m := range w.g.Metadata {
		buffer, name := w.buffer(m.Data), w.text(m.Name)
		schema.MetadataStart(w.b)
		schema.MetadataAddName(w.b, name)
		schema.MetadataAddBuffer(w.b, buffer)
		all = append(all, schema.MetadataEnd(w.b))
	}
	return w.vector(all)
}

func (w *writer) subgraph() (flatbuffers.UOffsetT, error) {
	var tensors, ops []flatbuffers.UOffsetT
	for i, t := range w.g.Tensors {
		at, err := w.tensor(t)
		if err != nil {
			return 0, fmt.Errorf("tensor %d (%s): %w", i, t.Name, err)
		}
		tensors = append(tensors, at)
	}
	for i, o := range w.g.Ops {
		at, err := w.operator(o)
		if err != nil {
			return 0, fmt.Errorf("operator %d (%s): %w", i, o.Name(), err)
		}
		ops = append(ops, at)
	}
	tensorsAt, opsAt, name := w.vector(tensors), w.vector(ops), w.text(w.g.Name)
	inputs, err := w.ints(w.g.Inputs)
	if err != nil {
		return 0, err
	}
	outputs, err := w.ints(w.g.Outputs)
	if err != nil {
		return 0, err
	}
	schema.SubGraphStart(w.b)
	schema.SubGraphAddTensors(w.b, tensorsAt)
	schema.SubGraphAddInputs(w.b, inputs)
	schema.SubGraphAddOutputs(w.b, outputs)
	schema.SubGraphAddOperators(w.b, opsAt)
	schema.SubGraphAddName(w.b, name)
	return schema.SubGraphEnd(w.b), nil
}

func (w *writer) tensor(t *graph.Tensor) (flatbuffers.UOffsetT, error) {
	shape, err := w.ints(t.Shape)
	if err != nil {
		return 0, err
	}
	signature, err := w.ints(t.Signature)
	if err != nil {
		return 0, err
	}
	var buffer uint32
	if len(t.Data) > 0 {
		buffer = w.buffer(t.Data)
	}
	name := w.text(t.Name)
	var quant flatbuffers.UOffsetT
	if q := t.Quant; q != nil {
		lo, hi, scale, zero := w.floats(q.Min), w.floats(q.Max), w.floats(q.Scale), w.longs(q.Zero)
		schema.QuantizationParametersStart(w.b)
		schema.QuantizationParametersAddMin(w.b, lo)
		schema.QuantizationParametersAddMax(w.b, hi)
		schema.QuantizationParametersAddScale(w.b, scale)
		schema.QuantizationParametersAddZeroPoint(w.b, zero)
		schema.QuantizationParametersAddQuantizedDimension(w.b, int32(q.Axis))
		quant = schema.QuantizationParametersEnd(w.b)
	}
	schema.TensorStart(w.b)
	schema.TensorAddShape(w.b, shape)
	schema.TensorAddType(w.b, int8(t.Type))
	schema.TensorAddBuffer(w.b, buffer)
	schema.TensorAddName(w.b, name)
	schema.TensorAddQuantization(w.b, quant)
	schema.TensorAddIsVariable(w.b, t.Variable)
	schema.TensorAddShapeSignature(w.b, signature)
	schema.TensorAddHasRank(w.b, t.HasRank)
	return schema.TensorEnd(w.b), nil
}

func (w *writer) operator(o *graph.Op) (flatbuffers.UOffsetT, error) {
	inputs, err := w.ints(o.Inputs)
	if err != nil {
		return 0, err
	}
	outputs, err := w.ints(o.Outputs)
	if err != nil {
		return 0, err
	}
	intermediates, err := w.ints(o.Intermediates)
	if err != nil {
		return 0, err
	}
	var custom, mutates flatbuffers.UOffsetT
	if len(o.CustomData) > 0 {
		custom = w.b.CreateByteVector(o.CustomData)
	}
	if len(o.Mutates) > 0 {
		w.b.StartVector(1, len(o.Mutates), 1)
		for i := len(o.Mutates) - 1; i >= 0; i-- {
			w.b.PlaceBool(o.Mutates[i])
		}
		mutates = w.b.EndVector(len(o.Mutates))
	}
	union, options, err := w.options(o)
	if err != nil {
		return 0, err
	}
	schema.OperatorStart(w.b)
	schema.OperatorAddOpcodeIndex(w.b, uint32(w.code(o)))
	schema.OperatorAddInputs(w.b, inputs)
	schema.OperatorAddOutputs(w.b, outputs)
	schema.OperatorAddBuiltinOptionsType(w.b, union)
	schema.OperatorAddBuiltinOptions(w.b, options)
	schema.OperatorAddCustomOptions(w.b, custom)
	schema.OperatorAddMutatingVariableInputs(w.b, mutates)
	schema.OperatorAddIntermediates(w.b, intermediates)
	return schema.OperatorEnd(w.b), nil
}

func (w *writer) code(o *graph.Op) int {
	c := opCode{o.Kind, o.Custom, o.Version}
	i, ok := w.codes[c]
	if !ok {
		i = len(w.order)
		w.codes[c] = i
		w.order = append(w.order, c)
	}
	return i
}

func (w *writer) opCodes() flatbuffers.UOffsetT {
	var all []flatbuffers.UOffsetT
	for _, c := range w.order {
		custom := w.text(c.custom)
		schema.OperatorCodeStart(w.b)
		// Old readers look at the narrow field, which says 127 for "see the
		// wide one".
		schema.OperatorCodeAddDeprecatedBuiltinCode(w.b, int8(min(c.kind, 127)))
		schema.OperatorCodeAddCustomCode(w.b, custom)
		schema.OperatorCodeAddVersion(w.b, int32(c.version))
		schema.OperatorCodeAddBuiltinCode(w.b, int32(c.kind))
		all = append(all, schema.OperatorCodeEnd(w.b))
	}
	return w.vector(all)
}

func (w *writer) signatures() flatbuffers.UOffsetT {
	var all []flatbuffers.UOffsetT
	for _, s := range w.g.Signatures {
		inputs, outputs, key := w.named(s.Inputs), w.named(s.Outputs), w.text(s.Key)
		schema.SignatureDefStart(w.b)
		schema.SignatureDefAddInputs(w.b, inputs)
		schema.SignatureDefAddOutputs(w.b, outputs)
		schema.SignatureDefAddSignatureKey(w.b, key)
		all = append(all, schema.SignatureDefEnd(w.b))
	}
	return w.vector(all)
}

func (w *writer) named(v []graph.NamedTensor) flatbuffers.UOffsetT {
	var all []flatbuffers.UOffsetT
	for _, n := range v {
		name := w.text(n.Name)
		schema.TensorMapStart(w.b)
		schema.TensorMapAddName(w.b, name)
		schema.TensorMapAddTensorIndex(w.b, uint32(n.Tensor))
		all = append(all, schema.TensorMapEnd(w.b))
	}
	return w.vector(all)
}

// options stores the options of o and returns the member of the union.
func (w *writer) options(o *graph.Op) (uint8, flatbuffers.UOffsetT, error) {
	known, _ := graph.Known(o.Kind)
	fields, _ := layout(known.Union)
	if raw, ok := o.Options.(graph.RawOptions); ok {
		at, err := w.raw(raw)
		return raw.Type, at, err
	}
	if o.Options == nil {
		if known.Union == 0 || fields != "" {
			return 0, 0, nil
		}
		w.b.StartObject(0)
		return known.Union, w.b.EndObject(), nil
	}
	if reflect.TypeOf(o.Options) != reflect.TypeOf(known.Options) {
		return 0, 0, fmt.Errorf("%T are not the options of this operator", o.Options)
	}
	at, err := w.encode(o.Options, fields)
	return known.Union, at, err
}

// raw stores options that were kept field by field.
func (w *writer) raw(v graph.RawOptions) (flatbuffers.UOffsetT, error) {
	fields, ok := layout(v.Type)
	if !ok || len(v.Fields) > len(fields) {
		return 0, fmt.Errorf("options of unknown kind %d with %d fields", v.Type, len(v.Fields))
	}
	at := make([]flatbuffers.UOffsetT, len(v.Fields))
	for i, f := range v.Fields {
		if f == nil {
			continue
		}
		switch fields[i] {
		case 's':
			at[i] = w.b.CreateByteString(f)
		case 'v':
			if len(f)%4 != 0 {
				return 0, errors.New("a vector of options is not whole")
			}
			w.b.StartVector(4, len(f)/4, 4)
			for k := len(f); k > 0; k -= 4 {
				w.b.PlaceUint32(flatbuffers.GetUint32(f[k-4:]))
			}
			at[i] = w.b.EndVector(len(f) / 4)
		case 'b', 'i', 'l':
			if len(f) != map[byte]int{'b': 1, 'i': 4, 'l': 8}[fields[i]] {
				return 0, fmt.Errorf("option %d has %d bytes", i, len(f))
			}
		}
	}
	w.b.StartObject(len(fields))
	// Wide fields first, as they need no padding then.
	for _, kind := range "lisvb" {
		for i, f := range v.Fields {
			if f == nil || rune(fields[i]) != kind {
				continue
			}
			switch kind {
			case 'b':
				w.b.PrependByte(f[0])
			case 'i':
				w.b.PrependUint32(flatbuffers.GetUint32(f))
			case 'l':
				w.b.PrependUint64(flatbuffers.GetUint64(f))
			default:
				w.b.PrependUOffsetT(at[i])
			}
			w.b.Slot(i)
		}
	}
	return w.b.EndObject(), nil
}
