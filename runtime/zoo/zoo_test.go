package zoo_test

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/runtime/infer/infertest"
	"mien/runtime/portable"
	"mien/runtime/zoo"
)

var update = flag.Bool("update", false, "write testdata/answers.json from what the models answer now")

func TestNamesLoad(t *testing.T) {
	names := zoo.Names()
	if !slices.IsSorted(names) {
		t.Errorf("names %v are not sorted", names)
	}
	for _, n := range names {
		if b, err := zoo.Load(n); err != nil || len(b) < 8 || string(b[4:8]) != "TFL3" {
			t.Errorf("%s is no .tflite file (%v)", n, err)
		}
	}
	if !slices.Contains(names, zoo.DefaultName) || len(zoo.Default()) == 0 {
		t.Errorf("the default model %q is not among %v", zoo.DefaultName, names)
	}
	if _, err := zoo.Load("../zoo"); err == nil || !strings.Contains(err.Error(), `"../zoo"`) {
		t.Errorf("a name that is none: %v", err)
	}
}

// The shipped files answer about made pictures, step by step of their int8
// outputs, what they answered when their cards were filled in. It needs no data
// set, and finds a file or an engine that changed under its card.
func TestAnswers(t *testing.T) {
	const path = "testdata/answers.json"
	is := map[string][][][]int{}
	for _, name := range zoo.Names() {
		is[name] = answers(t, name)
	}
	if *update {
		b, err := json.Marshal(is)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][][][]int
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for name, now := range is {
		if d := cmp.Diff(want[name], now); d != "" {
			t.Errorf("answers of %s (-%s, +now; after a new model: go test -tags tflite ./runtime/zoo -update):\n%s", name, path, d)
		}
	}
}

// answers returns picture by picture the probabilities of each head in 1/256.
func answers(t *testing.T, name string) (out [][][]int) {
	t.Helper()
	file, err := zoo.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := portable.Open(file, portable.Options{Threads: 1})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer m.Close()
	scores := m.Spec().NewScores()
	for _, face := range infertest.Faces(8) {
		if err := m.Predict(face, scores); err != nil {
			t.Fatal(err)
		}
		var heads [][]int
		for _, p := range scores.Heads {
			var steps []int
			for _, v := range p {
				steps = append(steps, int(math.Round(float64(v)*256)))
			}
			heads = append(heads, steps)
		}
		out = append(out, heads)
	}
	return out
}
