package report

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/quant"
	"mien/runtime/graph/flatfile"
	"mien/runtime/infer"
	"mien/runtime/infer/infertest"
	"mien/runtime/model"
	"mien/runtime/portable"
)

func compare(t *testing.T, r quant.Recipe, labels func(i int) []int8) *Report {
	t.Helper()
	g := infertest.Network(5, model.Heads()...)
	var faces quant.Faces
	var samples []Sample
	for i, f := range infertest.Faces(30) {
		faces = append(faces, f.Pix)
		samples = append(samples, Sample{Path: "made up", Face: f.Pix, Labels: labels(i)})
	}
	res, err := quant.Build(context.Background(), g, faces, r, quant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := flatfile.Marshal(res.Graph)
	if err != nil {
		t.Fatal(err)
	}
	float, err := flatfile.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	rep, err := Compare(context.Background(), Input{Result: res, File: file, Float: float, Heads: model.Heads(), Samples: samples,
		Open:    func(b []byte) (infer.Model, error) { return portable.Open(b, portable.Options{}) },
		Options: quant.Options{Progress: func(done, total int) { steps = total - done }}})
	if err != nil {
		t.Fatal(err)
	}
	if steps != 0 {
		t.Errorf("%d steps were not told", steps)
	}
	return rep
}

func TestReport(t *testing.T) {
	rep := compare(t, quant.Recipe{}, func(i int) []int8 { return []int8{int8(i % 7), int8(i % 2), -1, int8(i % 5)} })
	if len(rep.Heads) != 4 || rep.Heads[0].All.N != 30 || rep.Heads[2].All.N != 0 {
		t.Fatalf("heads %+v", rep.Heads)
	}
	h := rep.Heads[0]
	if len(h.Classes) != 7 || len(h.Groups) != 7 {
		t.Errorf("%d classes, %d groups (2 genders and 5 ages)", len(h.Classes), len(h.Groups))
	}
	n := 0
	for _, c := range h.Classes {
		n += c.N
	}
	if n != 30 {
		t.Errorf("the classes have %d faces", n)
	}
	for i, x := range rep.Tensors {
		if i > 0 && x.Lost > rep.Tensors[i-1].Lost {
			t.Error("the worst is not first")
		}
	}
	dir := filepath.Join(t.TempDir(), "report")
	if err := rep.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"layers.png", "histograms.png"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds().Dx() < 200 {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err != nil || back.Verdict != rep.Verdict {
		t.Errorf("report.json: %v", err)
	}
	md, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{rep.Verdict, "| emotion | 30 |", "| race | no labels", "among gender female", rep.Tensors[0].Name} {
		if !strings.Contains(string(md), want) {
			t.Errorf("report.md lacks %q", want)
		}
	}
}

// A float file against itself: no error anywhere, and everything agrees.
func TestFloatAgainstItself(t *testing.T) {
	rep := compare(t, quant.Recipe{Mode: quant.Float32}, func(i int) []int8 { return []int8{0, 0, 0, 0} })
	for _, h := range rep.Heads {
		if h.Agreement != 1 || h.All.Drop != 0 || h.All.Low >= 0 || h.All.High <= 0 {
			t.Errorf("%+v", h.All)
		}
	}
	for _, x := range rep.Tensors {
		if x.SNR != maxSNR || x.Cosine < 1-1e-9 {
			t.Errorf("%s: %v dB, %v", x.Name, x.SNR, x.Cosine)
		}
	}
	if err := rep.Check(); err != nil {
		t.Error(err)
	}
}

// The interval covers the true difference about as often as it says.
func TestIntervalCovers(t *testing.T) {
	const n = 40
	pl, pw := 0.1, 0.05 // lost, won
	inside := 0.0
	for b := 0; b <= n; b++ {
		for c := 0; b+c <= n; c++ {
			lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
			p := math.Exp(lg(n) - lg(b) - lg(c) - lg(n-b-c) + float64(b)*math.Log(pl) + float64(c)*math.Log(pw) + float64(n-b-c)*math.Log(1-pl-pw))
			s := (&tally{n: n, lost: b, won: c, float: b, quant: c}).score("")
			if s.Low <= 5 && 5 <= s.High {
				inside += p
			}
		}
	}
	if inside < 0.93 || inside > 0.99 {
		t.Errorf("the interval covers in %.3f of the cases", inside)
	}
}

// The exit code goes by what was measured; the words say what the interval says.
func TestCheck(t *testing.T) {
	report := func(limit float64, t tally) *Report {
		return &Report{MaxDrop: limit, Recipe: quant.Recipe{Mode: quant.Int8}, FloatBytes: 4, Bytes: 1,
			Heads: []Head{{Name: "race", Agreement: 1}, {Name: "age", Agreement: 0.99, All: t.score("age")}}}
	}
	const inside = "inside the 95% interval"
	for name, c := range map[string]struct {
		r            *Report
		fail, chance bool
	}{
		"over, perhaps by chance":  {report(0.5, tally{n: 1000, float: 600, quant: 594, lost: 12, won: 6}), true, true},
		"over":                     {report(0.5, tally{n: 1000, float: 600, quant: 550, lost: 60, won: 10}), true, false},
		"under, perhaps by chance": {report(0.5, tally{n: 1000, float: 600, quant: 598, lost: 10, won: 8}), false, true},
		"under":                    {report(0.5, tally{n: 10000, float: 6000, quant: 6000, lost: 10, won: 10}), false, false},
		"just at the limit":        {report(0.5, tally{n: 1000, float: 500, quant: 495, lost: 10, won: 5}), false, true},
		"won":                      {report(0.5, tally{n: 10000, float: 6000, quant: 6050, lost: 10, won: 60}), false, false},
		"none may be lost":         {report(0, tally{n: 1000, float: 600, quant: 599, lost: 1}), true, true},
		"a fraction over":          {report(0.6, tally{n: 999, float: 600, quant: 594, lost: 6}), true, true},
	} {
		err, verdict := c.r.Check(), c.r.headVerdict()
		if (err != nil) != c.fail || strings.HasPrefix(verdict, "Fail") != c.fail || strings.HasPrefix(verdict, "Pass") == c.fail || c.r.Failed() != c.fail {
			t.Errorf("%s: error %v, but %q", name, err, verdict)
		}
		if strings.Contains(verdict, inside) != c.chance || err != nil && strings.Contains(err.Error(), inside) != c.chance {
			t.Errorf("%s: error %v, %q", name, err, verdict)
		}
		if err != nil && !strings.Contains(err.Error(), "age lost") {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := &Report{Recipe: quant.Recipe{Mode: quant.Int8}, Heads: []Head{{Name: "race"}}, MaxDrop: 0.5}
	if err, v := none.Check(), none.headVerdict(); err == nil || !strings.Contains(v, "no face has a label") {
		t.Errorf("nothing measured is not good enough: %v, %q", err, v)
	}
}

func TestVerdict(t *testing.T) {
	head := func(lost int, agree float64) []Head {
		t := tally{n: 1000, float: 600, quant: 600 - lost, lost: lost}
		return []Head{{Name: "age", Agreement: agree, All: t.score("age")}}
	}
	for _, c := range []struct {
		heads  []Head
		recipe quant.Recipe
		want   string
	}{
		{head(1, 0.99), quant.Recipe{Mode: quant.Int8}, "4.0 times smaller, age lost 0.10 points"},
		{head(1, 0.9), quant.Recipe{Mode: quant.Int8}, "But answers agree with float on at least 90.0%"},
		{head(9, 0.99), quant.Recipe{Mode: quant.Int8}, "only more faces can tell"},
		{head(50, 0.8), quant.Recipe{Mode: quant.Int8}, "Nothing else was tried"},
		{head(50, 0.8), quant.Recipe{Mode: quant.Float16}, "Fail: age lost 5.00 points"},
		{head(0, 1), quant.Recipe{Mode: quant.Float32}, "float model"},
	} {
		r := &Report{Heads: c.heads, Recipe: c.recipe, FloatBytes: 4, Bytes: 1, MaxDrop: 0.5}
		if v := r.headVerdict(); !strings.Contains(v, c.want) {
			t.Errorf("%q, want %q", v, c.want)
		}
	}
}
