package experiment

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const text = `about: Two runs.
limit: 100
seeds: [1, 2]
set: [patience=3]
runs:
  - {name: single, recipe: paper-single, data: [fer2013]}
  - {name: multi, recipe: paper, data: [fer2013, utkface]}
  - {name: fine, recipe: paper-finetune, set: [distill=0.5], data: [fer2013], from: multi, teachers: ["multi=emotion"]}
compare:
  - {run: multi, against: single, head: emotion, data: fer2013}
paper: {single: "0.4538"}
`

// TestExperiments: those of the repository can run, and RESULTS.md has a row of each.
func TestExperiments(t *testing.T) {
	results, err := os.ReadFile("../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../experiments/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no experiments: %v", err)
	}
	for _, f := range files {
		x, err := Load(f)
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(results), "| `"+x.Name+"` |") {
			t.Errorf("no row of RESULTS.md is of %s", f)
		}
	}
}

var (
	// inPoints is the interval of a difference as RESULTS.md says it, in points.
	inPoints = regexp.MustCompile(`\[([+-]?\d+\.\d), ([+-]?\d+\.\d)\]`)
	// inParts is one as a report says it, behind the difference, in parts of one.
	inParts = regexp.MustCompile(`\| [+-]\d\.\d{4} \[([+-]\d\.\d{4}), ([+-]\d\.\d{4})\]`)
	// ofExperiment ends a row of RESULTS.md that says which report has its figures.
	ofExperiment = regexp.MustCompile("\\| `([a-z-]+)` \\|$")
)

// intervals are those of differences in a text, in points.
func intervals(t *testing.T, text string, re *regexp.Regexp, times float64) (all [][2]float64) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		low, err := strconv.ParseFloat(m[1], 64)
		high, err2 := strconv.ParseFloat(m[2], 64)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		all = append(all, [2]float64{low * times, high * times})
	}
	return all
}

// TestResultsAreReported: each interval that RESULTS.md has of an experiment is in that
// experiment's report, rounded to tenths of points, one way or the other.
func TestResultsAreReported(t *testing.T) {
	results, err := os.ReadFile("../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]int{}
	name := ""
	var reported [][2]float64
	for line := range strings.Lines(string(results)) {
		line = strings.TrimSpace(line)
		if m := ofExperiment.FindStringSubmatch(line); m != nil {
			name = m[1]
			report, err := os.ReadFile("../experiments/reports/" + name + "/experiment.md")
			if err != nil {
				t.Fatal(err)
			}
			reported = intervals(t, string(report), inParts, 100)
		}
		if !strings.HasPrefix(line, "|") { // the table is over
			name = ""
		}
		if name == "" {
			continue
		}
		for _, x := range intervals(t, line, inPoints, 1) {
			tried[name]++
			is := func(low, high float64) bool { return math.Abs(low-x[0]) < 0.051 && math.Abs(high-x[1]) < 0.051 }
			if !slices.ContainsFunc(reported, func(r [2]float64) bool { return is(r[0], r[1]) || is(-r[1], -r[0]) }) {
				t.Errorf("the report of %s has no difference of %+.1f to %+.1f points", name, x[0], x[1])
			}
		}
	}
	files, err := filepath.Glob("../experiments/*.yaml")
	if err != nil || len(tried) < len(files) {
		t.Errorf("%v are tried, of %d experiments (%v)", tried, len(files), err)
	}
}

func write(t *testing.T, s string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestChain: each run comes once a seed, from the run of its own seed, and all
// split the pictures alike.
func TestChain(t *testing.T) {
	x, err := Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := x.Chain(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Steps {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "single-1 multi-1 fine-1 single-2 multi-2 fine-2" {
		t.Errorf("steps %s", got)
	}
	last := c.Steps[5]
	if last.From != "multi-2" || last.Teachers[0] != "multi-2=emotion" || strings.Join(last.Set, " ") != "patience=3 distill=0.5 seed=2 split=1" {
		t.Errorf("the last step is %+v", last)
	}
}

func TestRefuses(t *testing.T) {
	for want, s := range map[string]string{
		"no seeds":              strings.Replace(text, "seeds: [1, 2]\n", "", 1),
		"different ones":        strings.Replace(text, "[1, 2]", "[1, 1]", 1),
		`no run "mutli"`:        strings.Replace(text, "run: multi", "run: mutli", 1),
		"no data utkface":       strings.Replace(text, "head: emotion, data: fer2013}\npaper", "head: age, data: utkface}\npaper", 1),
		"no recipe":             strings.Replace(text, "paper-single", "papre", 1),
		"unknown field":         text + "bogus: 1\n",
		"no step before it, an": strings.Replace(text, "from: multi", "from: elsewhere", 1),
	} {
		if _, err := Load(write(t, s)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// repeat makes answers of which the first k are right.
func repeat(n, k int) []bool {
	r := make([]bool, n)
	for i := range k {
		r[i] = true
	}
	return r
}

// Figures of R 4: prop.test(80, 100, correct=FALSE) and
// mcnemar's exact binom.test(5, 20).
func TestFigures(t *testing.T) {
	a := Accuracy(repeat(100, 80))
	if math.Abs(a.Low-0.7111708) > 1e-6 || math.Abs(a.High-0.8666331) > 1e-6 {
		t.Errorf("80 of 100: %+v", a)
	}
	one, other := make([]bool, 100), make([]bool, 100)
	for i := range 15 {
		one[i] = true
	}
	for i := 15; i < 20; i++ {
		other[i] = true
	}
	if p := McNemar(one, other); math.Abs(p-0.04138947) > 1e-8 {
		t.Errorf("15 against 5: p %g", p)
	}
	if p := McNemar(one, one); p != 1 {
		t.Errorf("a model against itself: p %g", p)
	}
	d := Difference([][]bool{one}, [][]bool{other})
	// Of 100 images the mean is 0.1, with a standard error of 0.0438.
	if math.Abs(d.Value-0.1) > 1e-12 || math.Abs(d.Low-0.014) > 0.01 || math.Abs(d.High-0.186) > 0.01 {
		t.Errorf("difference %+v", d)
	}
}

// TestOutcome: pairs are compared on the same images alone, seed by seed.
func TestOutcome(t *testing.T) {
	x, err := Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	said := func(truth, said []int8) Answers {
		return Answers{"fer2013": {"emotion": {Truth: truth, Said: said}}}
	}
	truth := []int8{0, 1, 2, 3}
	answers := map[string]Answers{
		"multi-1":  said(truth, []int8{0, 1, 2, 0}),
		"single-1": said(truth, []int8{0, 0, 0, 0}),
		"multi-2":  said(truth, []int8{0, 1, 2, 3}),
	}
	o, err := x.Outcome(x.Compare[0], answers)
	if err != nil || len(o.Seeds) != 1 || o.Images != 4 || o.Difference.Value != 0.5 || o.Run[0].Value != 0.75 || o.McNemar[0] != 0.5 {
		t.Errorf("%+v, %v", o, err)
	}
	dir := t.TempDir()
	if err := answers["multi-1"].Write(dir); err != nil {
		t.Fatal(err)
	}
	back, err := ReadAnswers(dir)
	if err != nil || back["fer2013"]["emotion"].Said[2] != 2 {
		t.Errorf("%v, %v", back, err)
	}
	if none, err := ReadAnswers(t.TempDir()); none != nil || err != nil {
		t.Errorf("%v, %v", none, err)
	}
	answers["single-1"] = said([]int8{0, 1, 2, 2}, []int8{0, 0, 0, 0})
	if _, err := x.Outcome(x.Compare[0], answers); err == nil || !strings.Contains(err.Error(), "other images") {
		t.Errorf("other images: %v", err)
	}
}
