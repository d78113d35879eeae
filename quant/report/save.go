package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mien/runtime/atomicfile"
)

// Save writes report.md, report.json, layers.png and histograms.png into dir,
// which it makes. Each file is replaced whole or not at all.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	j, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	layers, err := r.layersPNG()
	if err != nil {
		return err
	}
	histograms, err := r.histogramsPNG()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"report.json", append(j, '\n')}, {"layers.png", layers}, {"histograms.png", histograms}, {"report.md", r.Markdown()}} {
		if f.data == nil {
			continue
		}
		if err := atomicfile.Write(filepath.Join(dir, f.name), f.data); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// shownTensors is how many of the worst tensors the Markdown lists.
const shownTensors = 12

// Markdown returns the report for reading.
func (r *Report) Markdown() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Quantisation report\n\n**%s**\n", r.Verdict)
	p("Recipe: %s.", r.Recipe)
	if r.Calibrated > 0 {
		p("Calibrated with %d faces.", r.Calibrated)
	}
	p("Measured on %d faces; float in %s, quantised in %s.\n", r.Faces, r.FloatEngine, r.Engine)
	p("Size: %d bytes, float %d bytes (%.2f of it).\n", r.Bytes, r.FloatBytes, float64(r.Bytes)/float64(max(r.FloatBytes, 1)))
	r.accuracy(p)
	r.worstLayers(p)
	for _, n := range r.Notes {
		p("- %s", n)
	}
	return b.Bytes()
}

func (r *Report) accuracy(p func(string, ...any)) {
	p("## Accuracy\n\nPoints lost, with the 95%% confidence interval of the difference (same faces before and after).\n")
	p("| head | faces | float | quantised | points lost | 95%% interval | answers agree | probability moves |")
	p("| --- | ---: | ---: | ---: | ---: | :---: | ---: | ---: |")
	for _, h := range r.Heads {
		if h.All.N == 0 {
			p("| %s | no labels | | | | | %.2f%% | %.2f points |", h.Name, 100*h.Agreement, h.MeanShift)
			continue
		}
		p("| %s | %s | %.2f%% | %.2f points |", h.Name, h.All.row(), 100*h.Agreement, h.MeanShift)
	}
	p("")
	for _, h := range r.Heads {
		if h.All.N == 0 {
			continue
		}
		p("### %s\n\n| | faces | float | quantised | points lost | 95%% interval |", h.Name)
		p("| --- | ---: | ---: | ---: | ---: | :---: |")
		for _, s := range h.Classes {
			p("| %s | %s |", s.Name, s.row())
		}
		for _, s := range h.Groups {
			p("| among %s | %s |", s.Name, s.row())
		}
		p("")
	}
}

func (s Score) row() string {
	return fmt.Sprintf("%d | %.2f%% | %.2f%% | %+.2f | %+.2f to %+.2f", s.N, 100*s.Float, 100*s.Quant, s.Drop, s.Low, s.High)
}

func (r *Report) worstLayers(p func(string, ...any)) {
	if len(r.Tensors) == 0 {
		return
	}
	p("## Tensors, the worst first\n")
	p("SNR: power of the float values over power of the error. Clipped: float values outside the range of the integers.")
	p("All tensors are in report.json; layers.png and histograms.png show them, the red lines being the clipping points.\n")
	p("| tensor | type | SNR dB | lost here dB | cosine | clipped | range kept | range seen |")
	p("| --- | --- | ---: | ---: | ---: | ---: | :---: | :---: |")
	for _, t := range r.Tensors[:min(len(r.Tensors), shownTensors)] {
		kept, seen := "", ""
		if t.Clip != [2]float64{} {
			kept = fmt.Sprintf("%.3g to %.3g", t.Clip[0], t.Clip[1])
		}
		if t.Seen != [2]float64{} {
			seen = fmt.Sprintf("%.3g to %.3g", t.Seen[0], t.Seen[1])
		}
		p("| %s | %s | %.1f | %.1f | %.5f | %.3f%% | %s | %s |", strings.ReplaceAll(t.Name, "|", "\\|"), t.Type, t.SNR, t.Lost,
			t.Cosine, 100*t.Saturation, kept, seen)
	}
	p("")
}

// Summary is a few lines for a terminal.
func (r *Report) Summary() string {
	var b strings.Builder
	for _, h := range r.Heads {
		if h.All.N == 0 {
			fmt.Fprintf(&b, "%-8s agrees on %.2f%% of %d faces (no labels)\n", h.Name, 100*h.Agreement, r.Faces)
			continue
		}
		fmt.Fprintf(&b, "%-8s agrees on %.2f%% of %d faces; accuracy %.2f%% -> %.2f%% of %d, %+.2f points lost (95%% %+.2f to %+.2f)\n",
			h.Name, 100*h.Agreement, r.Faces, 100*h.All.Float, 100*h.All.Quant, h.All.N, h.All.Drop, h.All.Low, h.All.High)
	}
	fmt.Fprintln(&b, r.Verdict)
	return b.String()
}
