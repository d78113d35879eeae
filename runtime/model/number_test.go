package model

import (
	"math"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	h, err := ParseHead("years=0..100 years")
	if err != nil {
		t.Fatal(err)
	}
	if !h.Measures() || h.Unit != "years" || len(h.Labels) != 21 || h.Labels[7] != "35" || h.Say() != "0..100 years" {
		t.Errorf("%+v says %s", h, h.Say())
	}
	v := h.Values()
	for _, want := range []float64{0, 0.1, 34.2, 50, 99.9, 100} {
		got, deviation := Mean(v, Target(v, want))
		if math.Abs(got-want) > 1e-4 || deviation > 2.6 {
			t.Errorf("the target of %g has the mean %g and the deviation %g", want, got, deviation)
		}
		if at := Nearest(v, want); math.Abs(v[at]-want) > 2.5 {
			t.Errorf("the step next to %g is %g", want, v[at])
		}
	}
	p := make([]float32, 21)
	p[0], p[20] = 0.4, 0.4 // two peaks; engines' probabilities sum to about 1
	if mean, deviation := Mean(v, p); mean != 50 || math.Abs(deviation-50) > 1e-6 || h.Answer(p) != 10 {
		t.Errorf("mean %g, deviation %g, answer %d", mean, deviation, h.Answer(p))
	}
	for head, want := range map[string]string{"years=0..100 years": "34 years", "yaw=-90..90 degrees": "34 degrees", "open=0..1 parts": "34.20 parts", "size=0..20 cm": "34.2 cm"} {
		h, err := ParseHead(head)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Text(34.2); got != want {
			t.Errorf("%s writes %q, want %q", head, got, want)
		}
	}
	if Emotion.Answer([]float32{.1, .2, .4, .3, 0, 0, 0}) != 2 {
		t.Error("the likeliest label is no answer any more")
	}
}

func TestNumberRefused(t *testing.T) {
	for head, want := range map[string]string{
		"years=0..100":          "FROM..TO UNIT",
		"years=old..100 years":  "FROM..TO UNIT",
		"years=100..0 years":    "not larger",
		"years=0..0 years":      "not larger",
		"years=-Inf..Inf years": "not larger",
		"Years=0..1 y":          "lower-case",
	} {
		if _, err := ParseHead(head); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", head, err, want)
		}
	}
	uneven := NewNumber("x", 0, 1, "u")
	uneven.Labels[3] = "0.17"
	few := Head{Name: "x", Labels: []string{"0", "1"}, Unit: "u"}
	words := NewNumber("x", 0, 1, "u")
	words.Labels[3] = "three"
	for _, h := range []Head{uneven, few, words, NewNumber("x", 0, 1, " u")} {
		if CheckHeads([]Head{h}) == nil {
			t.Errorf("%+v was accepted", h)
		}
	}
}
