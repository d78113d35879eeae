package inspect

import (
	"archive/zip"
	"bytes"
	"slices"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

// metadata builds what a publisher would: one input that is normalised, one
// output with labels.
func metadata() []byte {
	b := flatbuffers.NewBuilder(0)
	text := b.CreateString
	floats := func(v ...float32) flatbuffers.UOffsetT {
		b.StartVector(4, len(v), 4)
		for i := len(v) - 1; i >= 0; i-- {
			b.PrependFloat32(v[i])
		}
		return b.EndVector(len(v))
	}
	one := func(o flatbuffers.UOffsetT) flatbuffers.UOffsetT {
		b.StartVector(4, 1, 4)
		b.PrependUOffsetT(o)
		return b.EndVector(1)
	}
	mean, std := floats(127.5, 127), floats(128)
	b.StartObject(2)
	b.PrependUOffsetTSlot(normaliseMean, mean, 0)
	b.PrependUOffsetTSlot(normaliseStd, std, 0)
	options := b.EndObject()
	b.StartObject(2)
	b.PrependByteSlot(unitKind, normalises, 0)
	b.PrependUOffsetTSlot(unitOptions, options, 0)
	units := one(b.EndObject())
	name, about := text("image"), text("A picture.\nOf birds.")
	b.StartObject(7)
	b.PrependUOffsetTSlot(tensorName, name, 0)
	b.PrependUOffsetTSlot(tensorAbout, about, 0)
	b.PrependUOffsetTSlot(tensorUnits, units, 0)
	in := one(b.EndObject())
	path := text("birds.txt")
	b.StartObject(3)
	b.PrependUOffsetTSlot(fileName, path, 0)
	b.PrependByteSlot(fileKind, axisLabels, 0)
	files := one(b.EndObject())
	name = text("probability")
	b.StartObject(7)
	b.PrependUOffsetTSlot(tensorName, name, 0)
	b.PrependUOffsetTSlot(tensorFiles, files, 0)
	out := one(b.EndObject())
	b.StartObject(5)
	b.PrependUOffsetTSlot(graphInputs, in, 0)
	b.PrependUOffsetTSlot(graphOutputs, out, 0)
	graphs := one(b.EndObject())
	name, author := text("Birds"), text("A. Maker")
	b.StartObject(7)
	b.PrependUOffsetTSlot(modelName, name, 0)
	b.PrependUOffsetTSlot(modelGraphs, graphs, 0)
	b.PrependUOffsetTSlot(modelAuthor, author, 0)
	b.FinishWithFileIdentifier(b.EndObject(), []byte("M001"))
	return b.FinishedBytes()
}

// archived is a model with labels in an archive behind it.
func archived(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("the model itself")
	z := zip.NewWriter(&b)
	z.SetOffset(int64(b.Len()))
	w, err := z.Create("birds.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("robin\r\nwren\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPublished: what a publisher says of mean, std and labels is shown.
func TestPublished(t *testing.T) {
	g := infertest.Network(1, model.Emotion)
	g.SetMeta(PublishedKey, metadata())
	info := Describe(g, archived(t))
	p := info.Published
	if p == nil || p.Name != "Birds" || len(p.Inputs) != 1 || !slices.Equal(p.Inputs[0].Mean, []float32{127.5, 127}) || !slices.Equal(p.Inputs[0].Std, []float32{128}) {
		t.Fatalf("%+v, %v", p, info.Unkept)
	}
	if !slices.Equal(p.Outputs[0].Labels, []string{"robin", "wren"}) {
		t.Errorf("labels %q", p.Outputs[0].Labels)
	}
	text := info.Text()
	for _, want := range []string{"its publisher says: Birds", "author: A. Maker", "mean [127.5 127], std [128]", "2 labels: robin, wren", "input image: A picture."} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	for _, bad := range [][]byte{{}, []byte("12345678"), metadata()[:60]} {
		g.SetMeta(PublishedKey, bad)
		if info := Describe(g, nil); info.Published != nil || len(info.Unkept) != 1 || !strings.Contains(info.Unkept[0], PublishedKey) {
			t.Errorf("%q: %+v, %v", bad, info.Published, info.Unkept)
		}
	}
}

func FuzzPublished(f *testing.F) {
	f.Add(metadata(), archived(f))
	f.Fuzz(func(t *testing.T, meta, file []byte) {
		if p, err := published(meta, file); (p == nil) == (err == nil) {
			t.Errorf("%v, %v", p, err)
		}
	})
}

// TestEdgesGoByPlace: tensors of a stripped file all have one name; each
// operator reads what it reads all the same.
func TestEdgesGoByPlace(t *testing.T) {
	g := infertest.Network(1, model.Emotion)
	want := strings.Count(Describe(g, nil).DOT(), "->")
	for _, x := range g.Tensors {
		x.Name = ""
	}
	info := Describe(g, nil)
	dot := info.DOT()
	if n := strings.Count(dot, "->"); n != want || !strings.Contains(dot, "op0 -> op1 ") {
		t.Errorf("%d edges, want %d:\n%s", n, want, dot)
	}
	for i, b := range info.boxes()[2:] {
		if !slices.Equal(b.from, []int{i + 1}) {
			t.Errorf("box %d reads %v", i+2, b.from)
		}
	}
}

// TestLongNames: a table shows the ends of what a converter joined.
func TestLongNames(t *testing.T) {
	g := infertest.Network(1, model.Emotion)
	g.Tensors[g.Ops[0].Outputs[0]].Name = strings.Repeat("block/", 30) + "Relu"
	info := Describe(g, nil)
	if text := info.Text(); strings.Contains(text, g.Tensors[g.Ops[0].Outputs[0]].Name) || !strings.Contains(text, "block/Relu ") {
		t.Errorf("%s", text)
	}
	if j, err := info.JSON(); err != nil || !bytes.Contains(j, []byte(g.Tensors[g.Ops[0].Outputs[0]].Name)) {
		t.Errorf("JSON has the whole name no more: %v", err)
	}
}
