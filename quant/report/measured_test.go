package report

import (
	"math"
	"testing"

	"mien/runtime/model"
)

// A head that measures is judged by how far its numbers are off.
func TestMeasuredHead(t *testing.T) {
	years := model.NewNumber("years", 0, 100, "years")
	var samples []Sample
	var before, after [][]answer
	for i := range 10 {
		truth := float64(10 * i)
		samples = append(samples, Sample{Labels: []int8{0, int8(model.Nearest(years.Values(), truth))}, Soft: [][]float32{nil, model.Target(years.Values(), truth)}})
		before = append(before, []answer{{label: 1, value: truth + 2}})
		after = append(after, []answer{{label: 1, value: truth - 5}})
	}
	samples = append(samples, Sample{Labels: []int8{0, -1}})
	before, after = append(before, []answer{{value: 3}}), append(after, []answer{{value: 3}})
	h := headOf(years, 0, []model.Head{model.Gender, years}, samples, before, after)
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-4 {
			t.Errorf("%s is %g, want %g", what, got, want)
		}
	}
	near("float", h.All.Float, 0.98)
	near("quantised", h.All.Quant, 0.95)
	near("drop", h.All.Drop, 3)
	near("low", h.All.Low, 3)
	if h.Unit != "years" || h.Scale != 100 || h.All.N != 10 || h.All.Lost != 10 || h.doubt() != "" {
		t.Errorf("%+v: %s", h, h.doubt())
	}
	near("the mean", h.Always, 1-0.25)
	blind := h
	blind.All.N, blind.All.Float = 20, 0.74
	if blind.doubt() == "" {
		t.Error("no doubt about a head that does worse than the mean")
	}
	r := &Report{Heads: []Head{h}, MaxDrop: 2}
	if r.Check() == nil {
		t.Error("three points of the scale lost keep to a limit of two")
	}
}
