package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"mien/device/vitals"
)

// The bench reads faces, moves lines, and says in one line what an owner may
// publish, with the figures of the JSON.
func TestBench(t *testing.T) {
	file := modelFile(t)
	out, err := miend("bench", "--for", "600ms", "--model", file, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var r benched
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Frames < 2 || r.Faces < 1 || r.Moves < 1 || r.Width != 640 || r.Height != 480 || r.Finder != "network" || r.Seconds < 0.6 {
		t.Errorf("%+v", r)
	}
	if !(r.Median > 0 && r.Median <= r.P95 && r.P95 <= r.Worst) || !(r.Rate > 0) || r.Finding+r.Predicting > 1000/r.Rate+0.001 {
		t.Errorf("median %g, 95 %% %g, worst %g, %g frames/s, finding %g and model %g ms of them", r.Median, r.P95, r.Worst, r.Rate, r.Finding, r.Predicting)
	}
	if out, err = miend("bench", "--for", "100ms", "--model", file); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^miend .+ on .+: [0-9.]+ ms from frame to pin \(95 % within [0-9.]+\), [0-9.]+ frames/s of 640x480, .+, finder network; .+\n$`)
	if !line.MatchString(out) {
		t.Errorf("no line to publish:\n%s", out)
	}
	if _, err := miend("bench", "--model", "/nonexistent.tflite"); err == nil || !strings.Contains(err.Error(), "nonexistent") {
		t.Errorf("without a model: %v", err)
	}
}

// What the board says of itself is in the line.
func TestBenchState(t *testing.T) {
	for want, r := range map[string]benched{
		"throttling not told":       {},
		"not throttled, 61 °C":      {Told: true, Celsius: 61.2},
		"under-voltage, hot, 85 °C": {Told: true, Throttling: []string{vitals.Reasons[0], vitals.Reasons[2]}, Celsius: 85},
	} {
		if got := r.state(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The figures come from every frame, however few there are.
func TestBenchSum(t *testing.T) {
	b := bench{works: []float64{2, 2, 2, 2, 4}}
	b.sum()
	if b.r.Rate != 1000/2.4 || b.r.Steady != 0.5 || b.r.Median != 2 || b.r.P95 != 4 || b.r.Worst != 4 {
		t.Errorf("%+v", b.r)
	}
	b = bench{works: []float64{millis(3 * time.Millisecond)}}
	if b.sum(); b.r.Steady != 1 || b.r.Worst != 3 {
		t.Errorf("of one frame: %+v", b.r)
	}
}
