package review

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train"
	"mien/train/arch"
	"mien/train/data"
	"mien/train/nn"
)

var smile = []model.Head{{Name: "smile", Labels: []string{"yes", "no"}}}

// measured are samples with labels and answers to them.
func measured(labels []int8, yes []float32) ([]data.Sample, *train.Metrics) {
	m := train.NewMetrics(smile)
	var samples []data.Sample
	for i, l := range labels {
		samples = append(samples, data.Sample{Path: string(rune('a' + i)), Face: make([]uint8, data.Pixels), Labels: data.Labels{l}})
		m.Heads["smile"].Add([]float32{yes[i], 1 - yes[i]}, l)
	}
	m.Finish()
	return samples, m
}

// The worst mistake is the surest, and a label is doubtful where the model is
// surer of another than it is of pictures that have that one.
func TestMistakes(t *testing.T) {
	samples, m := measured(
		[]int8{0, 0, data.NoLabel, 1, 1, 1, 0},
		[]float32{.9, .8, .5, .1, .95, .6, .4})
	all := Mistakes(smile, 0, samples, m)
	var got []string
	for _, x := range all {
		got = append(got, x.Sample.Path)
	}
	if strings.Join(got, "") != "efg" {
		t.Fatalf("order %v", got)
	}
	// "yes" is .7 sure in the mean, "no" .45: e is doubtful, f is not, and g is.
	if !all[0].Doubtful || all[1].Doubtful || !all[2].Doubtful {
		t.Errorf("%+v", all)
	}
	var b bytes.Buffer
	if err := WriteCSV(&b, smile, all); err != nil || !strings.Contains(b.String(), "e,smile,no,yes,0.9500,0.0500,true\n") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// An answer that rests on one corner has its saliency there.
func TestSaliency(t *testing.T) {
	face := make([]uint8, data.Pixels)
	for y := range 10 {
		for x := range 10 {
			face[y*model.Side+x] = 255
		}
	}
	ask := func(faces ...[]uint8) (p [][][]float32, err error) {
		for _, f := range faces {
			var sum float32
			for y := range 10 {
				for x := range 10 {
					sum += float32(f[y*model.Side+x]) / 25500
				}
			}
			p = append(p, [][]float32{{sum, 1 - sum}})
		}
		return p, nil
	}
	s, err := Saliency(ask, face, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if in, out := s[5*model.Side+5], s[40*model.Side+40]; in < 0.2 || out != 0 {
		t.Errorf("%v in the corner, %v elsewhere", in, out)
	}
	against, err := Saliency(ask, face, 0, 1)
	if err != nil || against[5*model.Side+5] > -0.2 {
		t.Errorf("%v, %v", against[5*model.Side+5], err)
	}
	cells, err := AnswerCells(smile, []int{0}, []data.Sample{{Face: face, Labels: data.Labels{1}}}, ask)
	if err != nil || len(cells) != 1 || cells[0].Lines[0] != "yes 100% (no)" {
		t.Fatalf("%+v, %v", cells, err)
	}
	img := Sheet(cells)
	if c := img.RGBAAt(gap+side+10, gap+10); c.R < c.B+50 {
		t.Errorf("the heat map has %v where the answer rests", c)
	}
	if c := img.RGBAAt(gap+10, gap+10); c.R != 255 || c.B != 255 {
		t.Errorf("the face has %v there", c)
	}
}

// Faces that are asked about together get the answers that each gets alone, of
// the heads that are wanted.
func TestAskNet(t *testing.T) {
	heads := []model.Head{smile[0], {Name: "hat", Labels: []string{"none", "cap", "helmet"}}}
	net, err := nn.New(arch.Edge(heads), 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	net.Init(3)
	ask := AskNet(net, heads[1:])
	rng := rand.New(rand.NewPCG(1, 2))
	var faces [][]uint8
	for range 6 {
		f := make([]uint8, data.Pixels)
		for i := range f {
			f[i] = uint8(rng.IntN(256))
		}
		faces = append(faces, f)
	}
	together, err := ask(faces...)
	if err != nil || len(together) != len(faces) {
		t.Fatalf("%d answers, %v", len(together), err)
	}
	for i, f := range faces {
		alone, err := ask(f)
		if err != nil || len(alone[0]) != 1 || !slices.Equal(alone[0][0], together[i][0]) {
			t.Errorf("face %d: %v alone, %v among others, %v", i, alone, together[i], err)
		}
	}
	if slices.Equal(together[0][0], together[1][0]) {
		t.Error("two faces get one answer")
	}
}
