package confidence

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// draw makes n rows of probabilities whose labels are drawn from just those
// probabilities: they are calibrated by construction.
func draw(r *rand.Rand, n, classes int) (p []float32, labels []int) {
	logits := make([]float32, classes)
	row := make([]float32, classes)
	for range n {
		for k := range logits {
			logits[k] = float32(r.NormFloat64() * 1.5)
		}
		softmax(row, logits)
		p = append(p, row...)
		u, k := r.Float32(), 0
		for u -= row[0]; u > 0 && k < classes-1; u -= row[k] {
			k++
		}
		labels = append(labels, k)
	}
	return p, labels
}

func scaleAll(p []float32, classes int, t float32) []float32 {
	q := append([]float32(nil), p...)
	for i := 0; i < len(q); i += classes {
		Scale(q[i:i+classes], t)
	}
	return q
}

// A model that is too sure by a factor has that factor found, and scaling
// with it brings the error back to that of the calibrated answers.
func TestFitUndoesOverconfidence(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, classes := range []int{3, 5, 7} {
		p, labels := draw(r, 20000, classes)
		for _, factor := range []float32{0.7, 1, 1.8} {
			sure := scaleAll(p, classes, 1/factor) // as if the logits were larger by factor
			got, err := Fit(sure, classes, labels)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(float64(got/factor)-1) > 0.06 {
				t.Errorf("%d classes: temperature %.3f, want about %.2f", classes, got, factor)
			}
			before, _ := ECE(sure, classes, labels, 15)
			after, _ := ECE(scaleAll(sure, classes, got), classes, labels, 15)
			if after > 0.02 || factor == 1.8 && before < 5*after {
				t.Errorf("%d classes, factor %v: ECE %.4f -> %.4f", classes, factor, before, after)
			}
		}
	}
}

func TestFitLogits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	p, labels := draw(r, 20000, 4)
	logits := make([]float32, len(p))
	for i, v := range p {
		logits[i] = 2*float32(math.Log(float64(v))) + 5 // twice too sure, and shifted
	}
	got, err := FitLogits(logits, 4, labels)
	if err != nil || math.Abs(float64(got)-2) > 0.1 {
		t.Errorf("temperature %v, %v; want about 2", got, err)
	}
}

// By hand: 4 answers at confidence 0.8 of which 2 are right, 1 at 0.6 right,
// 1 without a label. ECE = (4*|0.5-0.8| + 1*|1-0.6|) / 5 = 0.32.
func TestECEByHand(t *testing.T) {
	p := []float32{.8, .2, .8, .2, .2, .8, .2, .8, .6, .4, .9, .1}
	got, err := ECE(p, 2, []int{0, 0, 0, 0, 0, -1}, 10)
	if err != nil || math.Abs(got-0.32) > 1e-6 {
		t.Errorf("ECE %v, %v; want 0.32", got, err)
	}
}

func TestScaleKeepsSumAndOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		p, _ := draw(r, 1, 7)
		if r.IntN(4) == 0 {
			p[r.IntN(7)] = 0 // as an int8 model writes it
		}
		q := scaleAll(p, 7, float32(math.Exp(r.NormFloat64())))
		var sum float64
		for i := range q {
			sum += float64(q[i])
			for j := range q {
				if p[i] > p[j] && q[i] < q[j] {
					t.Fatalf("order changed: %v -> %v", p, q)
				}
			}
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Fatalf("%v sums to %v", q, sum)
		}
	}
	for _, p := range [][]float32{nil, {0, 0, 0}, {1, 0, 0}} {
		Scale(p, 0.01)
		for _, v := range p {
			if v != v || v < 0 || v > 1 {
				t.Errorf("degenerate input gives %v", p)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { Scale([]float32{.1, .9}, 2) }); n != 0 {
		t.Errorf("Scale allocates %v times", n)
	}
}

// A temperature from few labels, from answers that have nothing to do with the
// labels and from a head that always answers the same is none.
func TestFitRefusesWhatTellsNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	p, labels := draw(r, 400, 4)
	for n, want := range map[int]bool{1: false, Fewest - 1: false, 400: true} {
		if _, err := Fit(p[:4*n], 4, labels[:n]); (err == nil) != want {
			t.Errorf("%d labels: %v", n, err)
		}
	}
	contrary := slices.Clone(labels)
	for i := range contrary {
		least := 0
		for k, v := range p[4*i : 4*i+4] {
			if v < p[4*i+least] {
				least = k
			}
		}
		contrary[i] = least
	}
	if got, err := Fit(p, 4, contrary); err == nil || !strings.Contains(err.Error(), "nothing to do with") {
		t.Errorf("labels against the answers: %v, %v", got, err)
	}
	var constant []float32
	for range 400 {
		constant = append(constant, .25, .25, .25, .25)
	}
	if got, err := Fit(constant, 4, labels); err == nil {
		t.Errorf("a constant head has temperature %v", got)
	}
	right := slices.Clone(labels)
	for i := range right {
		right[i], _ = top(p[4*i : 4*i+4])
	}
	if got, err := Fit(p, 4, right); err == nil || !strings.Contains(err.Error(), "or less") {
		t.Errorf("always right: %v, %v", got, err)
	}
}

func TestBadInput(t *testing.T) {
	nan := float32(math.NaN())
	for name, err := range map[string]error{
		"length":   second(Fit([]float32{1}, 2, []int{0})),
		"label":    second(Fit([]float32{.5, .5}, 2, []int{2})),
		"nan":      second(Fit([]float32{nan, .5}, 2, []int{0})),
		"no label": second(Fit([]float32{.5, .5}, 2, []int{-1})),
		"bins":     second2(ECE([]float32{.5, .5}, 2, []int{0}, 0)),
		"rows":     second(FitLogits([]float32{1}, 2, []int{0})),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func second(_ float32, err error) error  { return err }
func second2(_ float64, err error) error { return err }
