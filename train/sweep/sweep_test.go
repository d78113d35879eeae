package sweep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/train"
)

func axis(t testing.TB, s string) Axis {
	t.Helper()
	a, err := ParseAxis(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestParseAxis(t *testing.T) {
	if d := cmp.Diff(Axis{Key: "losses.age", Choices: []string{"1", "4"}}, axis(t, "losses.age=1,4")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Axis{Key: "lr", Low: 1e-4, High: 0.01}, axis(t, "lr=1e-4..0.01")); d != "" {
		t.Error(d)
	}
	for _, s := range []string{"", "lr", "lr=", "=1", "lr=2..1", "lr=a..b", "lr=1..inf", "lr=nan..1"} {
		if a, err := ParseAxis(s); err == nil {
			t.Errorf("%q was accepted as %+v", s, a)
		}
	}
}

func TestDraw(t *testing.T) {
	base, err := train.LoadRecipe("paper", nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Draw(base, []Axis{axis(t, "losses.age=1,4"), axis(t, "batch=16,32")}, 9, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"losses.age=1", "batch=16"}, {"losses.age=1", "batch=32"}, {"losses.age=4", "batch=16"}, {"losses.age=4", "batch=32"}}
	if d := cmp.Diff(want, all); d != "" {
		t.Error("a small grid is not tried whole:", d)
	}
	drawn, err := Draw(base, []Axis{axis(t, "lr=1e-4..1e-2"), axis(t, "batch=16,32")}, 20, 1)
	if err != nil || len(drawn) != 20 {
		t.Fatalf("%d trials, %v", len(drawn), err)
	}
	again, _ := Draw(base, []Axis{axis(t, "lr=1e-4..1e-2"), axis(t, "batch=16,32")}, 20, 1)
	if d := cmp.Diff(drawn, again); d != "" {
		t.Error("the same seed draws others:", d)
	}
	low := 0
	for _, set := range drawn {
		v, err := strconv.ParseFloat(strings.TrimPrefix(set[0], "lr="), 64)
		if err != nil || v < 1e-4 || v > 1e-2 {
			t.Errorf("%s, %v", set[0], err)
		}
		if v < 1e-3 {
			low++
		}
	}
	if low < 4 || low > 16 {
		t.Errorf("%d of 20 are in the lower decade of two", low)
	}
	if _, err := Draw(base, []Axis{axis(t, "losses.mood=1,2")}, 2, 1); err == nil || !strings.Contains(err.Error(), "mood") {
		t.Errorf("an unknown key gives %v", err)
	}
}

// fake trains trials whose accuracy is their batch size's rank and grows.
type fake struct {
	epochs map[string]int // trained, by folder
	calls  int
	stop   int // fail the sweep at that call
	bad    string
}

func (f *fake) run(_ context.Context, dir string, set []string, epochs int) ([]train.Epoch, error) {
	f.calls++
	if f.calls == f.stop {
		return nil, errors.New("power cut")
	}
	if set[0] == f.bad {
		return nil, &TrialError{"loss is not finite"}
	}
	f.epochs[filepath.Base(dir)] = epochs
	v, err := strconv.ParseFloat(strings.TrimPrefix(set[0], "batch="), 64)
	if err != nil {
		return nil, err
	}
	var log []train.Epoch
	for i := range epochs {
		log = append(log, train.Epoch{Epoch: i + 1, Val: map[string]train.HeadSummary{"emotion": {N: 1, Accuracy: v/100 + float64(i)/1000}}})
	}
	return log, nil
}

func plan(t testing.TB) Plan {
	return Plan{Recipe: "paper", Axes: []Axis{axis(t, "batch=10,20,30,40,50,60,70,80,90")}, Trials: 9, First: 1, Keep: 3, Epochs: 9, Seed: 1}
}

func TestSuccessiveHalving(t *testing.T) {
	s, err := Open(t.TempDir(), plan(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{epochs: map[string]int{}}
	if err := s.Run(context.Background(), 1, f.run, nil); err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for _, e := range f.epochs {
		count[e]++
	}
	if d := cmp.Diff(map[int]int{1: 6, 3: 2, 9: 1}, count); d != "" {
		t.Error(d)
	}
	if best := s.Ranked()[0]; best.Set[0] != "batch=90" || len(best.Curve) != 9 {
		t.Errorf("the best is %+v", best)
	}
}

// Stopped at any trial and taken up again, a sweep ends as if it had not
// been, and trains nothing twice.
func TestResume(t *testing.T) {
	whole, err := Open(t.TempDir(), plan(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{epochs: map[string]int{}}
	if err := whole.Run(context.Background(), 1, f.run, nil); err != nil {
		t.Fatal(err)
	}
	for stop := 1; stop <= f.calls; stop++ {
		dir := t.TempDir()
		g := &fake{epochs: map[string]int{}, stop: stop}
		s, err := Open(dir, plan(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(context.Background(), 1, g.run, nil); err == nil {
			t.Fatalf("stop %d: no error", stop)
		}
		if s, err = Open(dir, plan(t)); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(context.Background(), 1, g.run, nil); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(whole.Trials, s.Trials); d != "" {
			t.Errorf("stop %d: %s", stop, d)
		}
		if g.calls != f.calls+1 {
			t.Errorf("stop %d: %d calls, want %d and the one that failed", stop, g.calls, f.calls)
		}
	}
}

func TestFailedTrialIsDropped(t *testing.T) {
	s, err := Open(t.TempDir(), plan(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{epochs: map[string]int{}, bad: "batch=90"}
	if err := s.Run(context.Background(), 1, f.run, nil); err != nil {
		t.Fatal(err)
	}
	if best := s.Ranked()[0]; best.Set[0] != "batch=80" {
		t.Errorf("the best is %+v", best)
	}
	p := plan(t)
	p.Axes = []Axis{axis(t, "batch=90")}
	if s, err = Open(t.TempDir(), p); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background(), 1, f.run, nil); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("all trials failed, and the sweep says %v", err)
	}
}

func TestOpenRefusesAnotherPlan(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, plan(t)); err != nil {
		t.Fatal(err)
	}
	p := plan(t)
	p.Seed = 2
	if _, err := Open(dir, p); err == nil || !strings.Contains(err.Error(), "another sweep") {
		t.Errorf("got %v", err)
	}
	p.Keep = 1
	if _, err := Open(t.TempDir(), p); err == nil {
		t.Error("keep 1 was accepted")
	}
}

func ExamplePlan_Rounds() {
	fmt.Println(Plan{First: 1, Keep: 3, Epochs: 9}.Rounds(), Plan{First: 2, Keep: 2, Epochs: 10}.Rounds())
	// Output: [1 3 9] [2 4 8 10]
}

func TestWholeNumbers(t *testing.T) {
	a, err := ParseAxis("batch=16..64")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		v, err := strconv.Atoi(a.draw(rng))
		if err != nil || v < 16 || v > 64 {
			t.Fatalf("%d, %v", v, err)
		}
	}
	if a, err := ParseAxis("lr=1e-4..1"); err != nil || a.Whole {
		t.Errorf("%+v, %v", a, err)
	}
}
