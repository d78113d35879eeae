package flatfile

import (
	"bytes"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile/foreign"
)

// every returns a graph with every operator and option that mien writes, and
// some that it does not know.
func every() *graph.Graph {
	g := &graph.Graph{Name: "main", Description: "all of it", Inputs: []int{0},
		Metadata:   []graph.Metadata{{Name: "a", Data: []byte("one")}, {Name: "empty"}},
		Signatures: []graph.Signature{{Key: "serve", Inputs: []graph.NamedTensor{{Name: "x", Tensor: 0}}, Outputs: []graph.NamedTensor{{Name: "y", Tensor: 3}}}}}
	g.Tensors = []*graph.Tensor{
		{Name: "in", Type: graph.Int8, Shape: []int{1, 4, 4, 2}, Signature: []int{-1, 4, 4, 2},
			Quant: &graph.Quant{Scale: []float32{0.5}, Zero: []int64{-3}, Min: []float32{-1}, Max: []float32{1}}},
		{Name: "w", Type: graph.Int8, Shape: []int{2, 1, 1, 2}, Data: []byte{0xa1, 0xb2, 0xc3, 0xd4},
			Quant: &graph.Quant{Scale: []float32{0.1, 0.2}, Zero: []int64{0, 0}}},
		{Name: "b", Type: graph.Int32, Shape: []int{2}, Data: make([]byte, 8)},
	}
	at := 0
	add := func(o *graph.Op) {
		g.Tensors = append(g.Tensors, &graph.Tensor{Name: "t", Type: graph.Int8, Shape: []int{1, 4, 4, 2}, HasRank: true})
		o.Inputs = append([]int{at}, o.Inputs...)
		at = len(g.Tensors) - 1
		o.Outputs = []int{at}
		if o.Version == 0 {
			o.Version = 1
		}
		g.Ops = append(g.Ops, o)
	}
	add(&graph.Op{Kind: graph.Conv2D, Version: 3, Inputs: []int{1, 2}, Options: graph.ConvOptions{Padding: graph.Valid,
		StrideH: 2, StrideW: 3, DilationH: 1, DilationW: 4, Activation: graph.Relu6Act}})
	add(&graph.Op{Kind: graph.DepthwiseConv2D, Inputs: []int{1, -1}, Options: graph.DepthwiseOptions{StrideH: 1, StrideW: 1,
		DilationH: 2, DilationW: 1, Multiplier: 2}})
	add(&graph.Op{Kind: graph.MaxPool2D, Options: graph.PoolOptions{StrideH: 2, StrideW: 1, FilterH: 3, FilterW: 2}})
	add(&graph.Op{Kind: graph.AveragePool2D, Options: graph.PoolOptions{Padding: graph.Valid, StrideH: 2, FilterW: 2}})
	add(&graph.Op{Kind: graph.FullyConnected, Options: graph.FullyConnectedOptions{KeepDims: true, Shuffled: true, Asymmetric: true}})
	add(&graph.Op{Kind: graph.Add, Inputs: []int{0}, Options: graph.ArithOptions{Activation: graph.ReluAct, AnyScale16: true}})
	add(&graph.Op{Kind: graph.Mul, Inputs: []int{0}, Options: graph.ArithOptions{Activation: graph.ReluN1To1}})
	add(&graph.Op{Kind: graph.Softmax, Options: graph.SoftmaxOptions{Beta: 0.5}})
	add(&graph.Op{Kind: graph.Reshape, Options: graph.ReshapeOptions{Shape: []int{-1, 2}}})
	add(&graph.Op{Kind: graph.Concatenation, Inputs: []int{0}, Options: graph.ConcatOptions{Axis: -1}})
	add(&graph.Op{Kind: graph.Mean, Inputs: []int{2}, Options: graph.ReduceOptions{KeepDims: true}})
	for _, k := range []graph.Kind{graph.Elu, graph.Relu, graph.Relu6, graph.Logistic, graph.Quantize, graph.Dequantize, graph.HardSwish, graph.Pad} {
		add(&graph.Op{Kind: k})
	}
	add(&graph.Op{Kind: graph.Custom, Custom: "mine", CustomData: []byte{1, 2, 3}, Mutates: []bool{true}, Intermediates: []int{0}})
	for _, k := range graph.Kinds() {
		add(&graph.Op{Kind: k, Options: filled(k)})
	}
	// FakeQuant, ConcatEmbeddings, VarHandle, Random and one above 127: numbers,
	// vectors, strings, wide numbers.
	add(&graph.Op{Kind: 80, Options: graph.RawOptions{Type: 58, Fields: [][]byte{{1, 0, 0, 0}, nil, {9, 0, 0, 0}, {1}}}})
	add(&graph.Op{Kind: 29, Options: graph.RawOptions{Type: 3, Fields: [][]byte{{1, 0, 0, 0}, {1, 0, 0, 0, 2, 0, 0, 0}, nil}}})
	add(&graph.Op{Kind: 142, Options: graph.RawOptions{Type: 111, Fields: [][]byte{[]byte("box"), {}}}})
	add(&graph.Op{Kind: 148, Options: graph.RawOptions{Type: 114, Fields: [][]byte{{1, 2, 3, 4, 5, 6, 7, 8}, nil}}})
	g.Outputs = []int{at}
	return g
}

// filled returns an operator's options with a value of its own in each field.
func filled(k graph.Kind) graph.Options {
	known, _ := graph.Known(k)
	if known.Options == nil {
		return nil
	}
	fields, _ := layout(known.Union)
	v := reflect.New(reflect.TypeOf(known.Options)).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int8:
			f.SetInt(int64(3 + i))
		case reflect.Float32:
			f.SetFloat(0.25)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]int{-1, 7}))
		}
		if id, _ := strconv.Atoi(v.Type().Field(i).Tag.Get("field")); id >= len(fields) {
			f.SetZero() // the operator's schema lacks it
		}
	}
	return v.Interface().(graph.Options)
}

func TestRoundTrip(t *testing.T) {
	g := every()
	b, err := Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Ops {
		if !reflect.DeepEqual(g.Ops[i], back.Ops[i]) {
			t.Errorf("operator %d: wrote %+v, read %+v", i, g.Ops[i], back.Ops[i])
		}
	}
	if !reflect.DeepEqual(g, back) {
		t.Error("the graph read is not the one written")
	}
	again, err := Marshal(back)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("other bytes the second time (%v)", err)
	}
}

// The kernels read constants in place, with aligned loads.
func TestConstantsAreAligned(t *testing.T) {
	g := every()
	want := g.Tensors[1].Data
	b, err := Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(b, want); at%16 != 0 {
		t.Errorf("the weights are at byte %d", at)
	}
}

func TestLayoutsNumberTheUnion(t *testing.T) {
	if len(layouts) != 126 {
		t.Errorf("%d layouts, want 126", len(layouts))
	}
	// Landmarks of the published list: StridedSlice, TransposeConv,
	// UnidirectionalSequenceLSTM, DepthToSpace, Conv3D, VarHandle, Gelu.
	for u, want := range map[uint8]string{32: "iiiiib", 49: "biibb", 71: "biibbb", 94: "i", 106: "biiibiii", 111: "ss", 116: "b"} {
		if got, _ := layout(u); got != want {
			t.Errorf("member %d is %q, want %q", u, got, want)
		}
	}
	for _, k := range graph.Kinds() {
		known, _ := graph.Known(k)
		fields, ok := layout(known.Union)
		if !ok && known.Union != 0 {
			t.Errorf("%s has no layout", k)
		}
		if (known.Options != nil) != (fields != "") {
			t.Errorf("%s has the fields %q and the options %T", k, fields, known.Options)
		}
	}
}

func TestMarshalRefusesWhatItCannotKeep(t *testing.T) {
	for name, change := range map[string]func(*graph.Graph){
		"unkept parts":         func(g *graph.Graph) { g.Unkept = []string{"2 more subgraphs"} },
		"options of another":   func(g *graph.Graph) { g.Ops[0].Options = graph.SoftmaxOptions{} },
		"raw of unknown kind":  func(g *graph.Graph) { g.Ops[0].Options = graph.RawOptions{Type: 200} },
		"a tensor not there":   func(g *graph.Graph) { g.Ops[0].Inputs[0] = 99 },
		"used before computed": func(g *graph.Graph) { g.Ops[0], g.Ops[5] = g.Ops[5], g.Ops[0] },
		"short constant":       func(g *graph.Graph) { g.Tensors[1].Data = g.Tensors[1].Data[:3] },
		"endless shape":        func(g *graph.Graph) { g.Tensors[0].Shape = []int{1 << 20, 1 << 20} },
	} {
		g := every()
		change(g)
		if _, err := Marshal(g); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	b, err := Marshal(every())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, path := range foreign.Files(f) {
		if o, err := os.ReadFile(path); err == nil && len(o) < 10000 {
			f.Add(o)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g, err := Unmarshal(b)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(40*len(b)+4<<20) {
			t.Errorf("%d bytes took %d bytes of memory", len(b), used)
		}
		if err != nil {
			return
		}
		if err := g.Check(); err != nil {
			t.Fatalf("accepted: %v", err)
		}
		SpecOf(g)
		again, err := Marshal(g)
		if err != nil {
			return // it said so, and did not panic
		}
		back, err := Unmarshal(again)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if len(back.Ops) != len(g.Ops) || len(back.Tensors) != len(g.Tensors) {
			t.Error("the second graph differs")
		}
	})
}

// Every cut and many a changed byte is an error or a sound graph.
func TestDamage(t *testing.T) {
	b, err := Marshal(every())
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if g, err := Unmarshal(b[:n]); err == nil && g.Check() != nil {
			t.Fatalf("cut at %d: an unsound graph", n)
		}
	}
	for i := range b {
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			c := bytes.Clone(b)
			c[i] = v
			if g, err := Unmarshal(c); err == nil && g.Check() != nil {
				t.Fatalf("byte %d changed to %d: an unsound graph", i, v)
			}
		}
	}
}

// FuzzUnmarshal's budget stands against this: a vector of many entries that
// all point at one long name.
func TestManyPointersAtOneTableTakeNoMemory(t *testing.T) {
	name := bytes.Repeat([]byte("n"), 1<<20)
	g := &graph.Graph{Tensors: []*graph.Tensor{{Name: string(name), Type: graph.Int8, Shape: []int{1}}}}
	for range 1 << 12 {
		g.Tensors = append(g.Tensors, &graph.Tensor{Name: "x", Type: graph.Int8, Shape: []int{1}})
	}
	b, err := Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	// Find the vector of tensors and let all its entries point at the first.
	at := vectorOf(t, b, len(g.Tensors))
	first := at + int(le(b[at:]))
	for i := range g.Tensors {
		p := at + 4*i
		put(b[p:], uint32(first-p))
	}
	if _, err := Unmarshal(b); err == nil {
		t.Error("read")
	}
}

func le(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func put(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

// vectorOf finds the only vector of n offsets.
func vectorOf(t *testing.T, b []byte, n int) int {
	for i := 0; i+4 < len(b); i += 4 {
		if le(b[i:]) == uint32(n) {
			return i + 4
		}
	}
	t.Fatal("no such vector")
	return 0
}

// Every field of every options struct has a tag that places it in the schema,
// in order, as a field of its own width.
func TestOptionsFitTheSchema(t *testing.T) {
	width := map[reflect.Kind]byte{reflect.Bool: 'b', reflect.Int8: 'b', reflect.Int: 'i', reflect.Float32: 'i', reflect.Slice: 'v'}
	for _, k := range graph.Kinds() {
		known, _ := graph.Known(k)
		if known.Options == nil {
			continue
		}
		fields, _ := layout(known.Union)
		last := -1
		for i, v := 0, reflect.ValueOf(known.Options); i < v.NumField(); i++ {
			tag := v.Type().Field(i).Tag.Get("field")
			id, err := strconv.Atoi(tag)
			if err != nil || id <= last {
				t.Errorf("%T: field %d has the tag %q", known.Options, i, tag)
			}
			last = id
			if id >= len(fields) {
				continue // an operator whose schema lacks it: it is not written
			}
			if kind := v.Field(i).Kind(); fields[id] != width[kind] {
				t.Errorf("%s: field %d of %T is a %v, the schema has %q", k, i, known.Options, kind, fields[id])
			}
		}
	}
}

func TestSaysWhatAPointerIs(t *testing.T) {
	_, err := Unmarshal([]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"))
	if err == nil || !strings.Contains(err.Error(), "git lfs pull") {
		t.Error(err)
	}
}

// TestEmptySignature: a signature that names nothing is still there after a
// rewrite, and so is a bare key.
func TestEmptySignature(t *testing.T) {
	g := every()
	g.Signatures = []graph.Signature{{}, {Key: "bare"}}
	b, err := Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(b)
	if err != nil || len(back.Signatures) != 2 || back.Signatures[0].Key != "" || back.Signatures[1].Key != "bare" {
		t.Errorf("%+v, %v", back.Signatures, err)
	}
}
