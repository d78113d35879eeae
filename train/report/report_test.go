package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot"

	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
	"mien/train/experiment"
)

// example is a run with four known answers about emotion and two about age.
func example(t testing.TB) Run {
	t.Helper()
	recipe, err := train.LoadRecipe("paper", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := train.NewMetrics(model.Heads())
	truth := []data.Labels{{3, -1, -1, 2}, {3, 0, -1, -1}, {4, 1, -1, -1}, {4, 1, -1, 2}}
	said := []data.Labels{{3, 0, 0, 2}, {4, 0, 0, 1}, {4, 1, 0, 1}, {4, 1, 0, 3}}
	var samples []data.Sample
	for i := range truth {
		samples = append(samples, data.Sample{Labels: truth[i]})
		for k, h := range model.Heads() {
			p := make([]float32, len(h.Labels))
			p[said[i][k]] = 1
			m.Heads[h.Name].Add(p, truth[i][k])
		}
	}
	m.Said = said
	m.Finish()
	log := []train.Epoch{
		{Epoch: 1, Train: map[string]train.HeadSummary{"emotion": {N: 9, Accuracy: 0.3, Loss: 1.9}}, Val: map[string]train.HeadSummary{"emotion": {N: 4, Accuracy: 0.4, Loss: 1.8}}, Dropped: true},
		{Epoch: 2, Train: map[string]train.HeadSummary{"emotion": {N: 9, Accuracy: 0.5, Loss: 1.5}}, Val: map[string]train.HeadSummary{"emotion": {N: 4, Accuracy: 0.75, Loss: 1.2}}},
	}
	return Run{Recipe: recipe, Log: log, BestEpoch: 2, Measured: []Measured{{"rafdb", data.Test, samples, m}}}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, example(t)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| rafdb | test | 4 |  | 0.7500 | 0.4538 | 0.7926 |", // table 1
		"| age | rafdb | test | 2 | 0.5000 | 0.7476 |",       // table 2
		"| happy | 2 | 1.0000 | 0.5000 | 0.6667 |",           // precision, recall, F1
		"| emotion | age | 20-39 | 2 | 1.0000 |",             // known ages
		"| emotion | age | 4-19 * | 2 | 0.5000 |",            // ages as the model says them
		"| age | emotion | happy | 1 | 1.0000 |",             // the other way round
		"| emotion | gender | male * | 1 | 1.0000 |",
		"![confusion of age](confusion-age.png)",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report does not hold %q", want)
		}
	}
	var names []string
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	// Race has no labels here, so no confusion matrix.
	if d := cmp.Diff([]string{"confusion-age.png", "confusion-emotion.png", "confusion-gender.png", "curves.png", "report.md"}, names); d != "" {
		t.Error(d)
	}
	for _, name := range names[:4] {
		readPNG(t, filepath.Join(dir, name))
	}
}

func readPNG(t *testing.T, path string) image.Image {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return img
}

// A fall of the learning rate leaves blue on the curves.
func TestCurvesMarkDrops(t *testing.T) {
	blue := func(r Run) int {
		var b bytes.Buffer
		if err := curves(&b, model.Heads(), r.Log); err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				if color.RGBAModel.Convert(img.At(x, y)) == dropColor {
					n++
				}
			}
		}
		return n
	}
	r := example(t)
	if n := blue(r); n < 20 {
		t.Errorf("%d pixels of a marked drop", n)
	}
	r.Log[0].Dropped = false
	if n := blue(r); n != 0 {
		t.Errorf("%d pixels of a drop that was not", n)
	}
}

func TestTogetherAddsSets(t *testing.T) {
	r := example(t)
	r.Measured = append(r.Measured, r.Measured[0])
	m := r.together(model.Emotion, data.Test)
	if m.N != 8 || m.Accuracy != 0.75 || m.Confusion[4][4] != 4 {
		t.Errorf("%+v", m)
	}
	if r.together(model.Race, data.Test) != nil {
		t.Error("race has metrics without a label")
	}
}

func TestWriteNamesThePath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if err := Write(dir, example(t)); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

// A run of one's own heads has no columns of the paper's, and says nothing of
// what an untaught head answers.
func TestOtherHeads(t *testing.T) {
	r := example(t)
	r.Untaught = []string{"gender", "race"}
	r.Drops = []train.Drop{{Head: "age", Before: 0.8, After: 0.25}}
	dir := t.TempDir()
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if strings.Contains(text, "male *") || strings.Contains(text, "Caucasian *") || !strings.Contains(text, "Untaught: gender, race") || !strings.Contains(text, "0.8000 to 0.2500") {
		t.Error(text)
	}

	r = example(t)
	r.Recipe.Heads = []model.Head{{Name: "smile", Labels: []string{"yes", "no"}}}
	r.Recipe.Losses = train.Losses{"smile": 1}
	m := train.NewMetrics(r.Recipe.Heads)
	m.Heads["smile"].Add([]float32{0.9, 0.1}, 0)
	m.Said = []data.Labels{{0}}
	m.Finish()
	r.Log = nil
	r.Measured = []Measured{{"folders", data.Test, []data.Sample{{Labels: data.Labels{0}}}, m}}
	if err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(filepath.Join(dir, ReportFile)); err != nil {
		t.Fatal(err)
	}
	if text := string(b); strings.Contains(text, "paper (RAF-DB)") || !strings.Contains(text, "| smile | folders | test | 1 | 1.0000 |") || !strings.Contains(text, "single-task") {
		t.Error(text)
	}
}

// Epochs are marked whole, and not so many that their numbers touch.
func TestEpochsAreWhole(t *testing.T) {
	for hi, want := range map[float64][]string{
		1.3:  {"1"},
		3.3:  {"1", "2", "3"},
		28.8: {"5", "10", "15", "20", "25"},
		104:  {"20", "40", "60", "80", "100"},
	} {
		var got []string
		for _, tick := range epochs(0.7, hi) {
			got = append(got, tick.Label)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("to %v: %s", hi, d)
		}
	}
}

// No legend lies on a curve: it stands beside the plots, which stay as wide as
// they are without it.
func TestLegendStandsBeside(t *testing.T) {
	size := func(legend *plot.Legend) image.Point {
		var b bytes.Buffer
		if err := drawGrid(&b, [][]*plot.Plot{{plot.New()}}, legend, 200, 100); err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		return img.Bounds().Size()
	}
	l, err := curvesLegend(true)
	if err != nil {
		t.Fatal(err)
	}
	if with, without := size(l), size(nil); with.X < without.X+50 || with.Y < without.Y {
		t.Errorf("%v with a legend, %v without", with, without)
	}
}

// TestPapersFigures: what the paper says stands in three places, the tables of a run,
// the experiment and RESULTS.md, and is the same in all.
func TestPapersFigures(t *testing.T) {
	x, err := experiment.Load("../experiments/paper.yaml")
	if err != nil {
		t.Fatal(err)
	}
	results, err := os.ReadFile("../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string][]string{} // of RESULTS.md's tables 1 to 3, by their first
	_, tables, ok := strings.Cut(string(results), "\n**Table 1**")
	tables, _, end := strings.Cut(tables, "\n## ")
	if !ok || !end {
		t.Fatal("RESULTS.md has no table 1 with a section after it")
	}
	for line := range strings.Lines(tables) {
		row := strings.Split(line, "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		if len(row) > 5 {
			cells[row[1]] = row[2:]
		}
	}
	for _, first := range []string{"single-task", "multi-task", "multi-task, then emotion alone", "single-task, dropout that rises", "emotion", "gender", "race", "age"} {
		if cells[first] == nil {
			t.Fatalf("RESULTS.md's tables 1 to 3 have no row of %q", first)
		}
	}
	number := func(s string) string { n, _, _ := strings.Cut(s, " "); return n }
	for _, c := range []struct{ what, tables, experiment, results string }{
		{"single-task, RAF-DB", paper.single["rafdb"], "", cells["single-task"][0]},
		{"single-task, FER-2013", paper.single["fer2013"], x.Paper["single"], cells["single-task"][1]},
		{"multi-task, RAF-DB", paper.multi["rafdb"], x.Paper["multi"], cells["multi-task"][0]},
		{"fine-tuned, FER-2013", paper.multi["fer2013"], x.Paper["finetune"], cells["multi-task, then emotion alone"][1]},
		{"dropout that rises", "", x.Paper["rises"], cells["single-task, dropout that rises"][1]},
		{"emotion", paper.multi["rafdb"], "", cells["emotion"][0]},
		{"gender", paper.multi["gender"], "", cells["gender"][0]},
		{"race", paper.multi["race"], "", cells["race"][0]},
		{"age", paper.multi["age"], "", cells["age"][0]},
		{"emotion's loss", paper.loss["emotion"], "", cells["emotion"][2]},
		{"gender's loss", paper.loss["gender"], "", cells["gender"][2]},
		{"race's loss", paper.loss["race"], "", cells["race"][2]},
		{"age's loss", paper.loss["age"], "", cells["age"][2]},
	} {
		for _, other := range []string{c.tables, c.experiment} {
			if other != "" && number(other) != c.results || c.results == "" {
				t.Errorf("%s: %q in a run's tables, %q in paper.yaml, %q in RESULTS.md", c.what, c.tables, c.experiment, c.results)
			}
		}
	}
	if len(x.Paper) != 4 || len(paper.single) != 2 || len(paper.multi) != 5 || len(paper.loss) != 4 {
		t.Error("the paper has a figure that is held against nothing")
	}
}
