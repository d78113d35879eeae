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
		p("Calibrated with %d samples.", r.Calibrated)
	}
	p("Measured on %d samples; float in %s, quantised in %s.\n", r.Faces, r.FloatEngine, r.Engine)
	p("Size: %d bytes, float %d bytes (%.2f of it).\n", r.Bytes, r.FloatBytes, float64(r.Bytes)/float64(max(r.FloatBytes, 1)))
	for _, d := range r.Doubts {
		p("**Mind:** %s.\n", d)
	}
	if len(r.Heads) > 0 {
		r.accuracy(p)
	}
	r.outputTable(p)
	r.advice(p)
	r.layerTable(p)
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
	for _, h := range r.Heads {
		if h.Unit != "" && h.All.N > 0 {
			p("\n%s measures: off by %.4g %s in float and %.4g quantised, in the mean. Its accuracy is 1 less that as a part of its scale of %g %s.",
				h.Name, (1-h.All.Float)*h.Scale, h.Unit, (1-h.All.Quant)*h.Scale, h.Scale, h.Unit)
		}
	}
	p("")
	for _, h := range r.Heads {
		if h.All.N == 0 || h.Unit != "" {
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

func (r *Report) outputTable(p func(string, ...any)) {
	if len(r.Outputs) == 0 {
		return
	}
	p("## Outputs\n\nWhat the file gives against what the float model gives. Largest: the largest magnitude that the float model gave. Top 1: on which part")
	p("of a distribution's rows the largest value is in the same place. Engines: the largest difference between the TensorFlow Lite library and mien's")
	p("own engine, in steps of the output's integers.\n")
	p("| output | type | SNR dB | sample in the middle | worst sample | cosine | largest error | largest | top 1 | engines |")
	p("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, o := range r.Outputs {
		top, steps := "", ""
		if o.Top1 != nil {
			top = fmt.Sprintf("%.2f%%", 100**o.Top1)
		}
		if o.Steps != nil {
			steps = fmt.Sprintf("%g", *o.Steps)
		}
		p("| %s | %s %v | %.1f | %.1f | %.1f, %s | %.6f | %.4g | %.4g | %s | %s |", cell(o.Name), o.Type, o.Shape, o.SNR, o.MedianSNR, o.WorstSNR, cell(o.Worst), o.Cosine, o.MaxError, o.Largest, top, steps)
	}
	p("")
}

// cell is a name inside a table.
func cell(name string) string { return strings.ReplaceAll(name, "|", "\\|") }

// advice lists what was tried: the recoveries of the recipe, and other recipes.
func (r *Report) advice(p func(string, ...any)) {
	if len(r.Trials) > 0 {
		p("## Recoveries\n\nEach is kept only where it brings the outputs nearer to float, on samples of the calibration.\n")
		p("| recovery | SNR without, dB | with | |\n| --- | ---: | ---: | --- |")
		for _, t := range r.Trials {
			kept := "not kept"
			if t.Kept {
				kept = "kept"
			}
			p("| --%s | %.1f | %.1f | %s |", t.What, t.Before, t.After, kept)
		}
		p("")
	}
	if len(r.Advice) > 0 {
		p("## What to try next\n\nThe outputs' SNR is %.1f dB on the samples by which these were measured.\n", r.OutputSNR)
		p("| change | SNR dB | gain | mien quantize |\n| --- | ---: | ---: | --- |")
		for _, a := range r.Advice {
			p("| %s | %.1f | %+.1f | `%s` |", cell(a.Change), a.SNR, a.Gain, cell(a.Flags))
		}
		p("")
	}
}

// layerTable lists what each layer costs by itself.
func (r *Report) layerTable(p func(string, ...any)) {
	if len(r.Layers) == 0 {
		return
	}
	p("## Layers, the worst first\n\nWhat the outputs gain when one layer alone computes in float32; the outputs' SNR is %.1f dB as the file is. All are in report.json.\n", r.OutputSNR)
	p("| layer | operator | SNR dB | gain |\n| --- | --- | ---: | ---: |")
	for _, l := range r.Layers[:min(len(r.Layers), shownTensors)] {
		p("| %s | %s | %.1f | %+.2f |", cell(l.Name), l.Operator, l.SNR, l.Gain)
	}
	p("")
}

func (s Score) row() string {
	return fmt.Sprintf("%d | %.2f%% | %.2f%% | %+.2f | %+.2f to %+.2f", s.N, 100*s.Float, 100*s.Quant, s.Drop, s.Low, s.High)
}

func (r *Report) worstLayers(p func(string, ...any)) {
	if len(r.Tensors) == 0 {
		return
	}
	p("## Tensors, that which loses most by itself first\n")
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
		p("| %s | %s | %.1f | %.1f | %.5f | %.3f%% | %s | %s |", cell(t.Name), t.Type, t.SNR, t.Lost,
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
		if h.Unit != "" {
			fmt.Fprintf(&b, "%-8s moves by %.3g %s in the mean; off by %.4g -> %.4g %s in %d, %+.2f points of the scale lost (95%% %+.2f to %+.2f)\n", h.Name,
				h.MeanShift*h.Scale/100, h.Unit, (1-h.All.Float)*h.Scale, (1-h.All.Quant)*h.Scale, h.Unit, h.All.N, h.All.Drop, h.All.Low, h.All.High)
			continue
		}
		fmt.Fprintf(&b, "%-8s agrees on %.2f%% of %d faces; accuracy %.2f%% -> %.2f%% of %d, %+.2f points lost (95%% %+.2f to %+.2f)\n",
			h.Name, 100*h.Agreement, r.Faces, 100*h.All.Float, 100*h.All.Quant, h.All.N, h.All.Drop, h.All.Low, h.All.High)
	}
	for _, o := range r.Outputs {
		fmt.Fprintf(&b, "%s: SNR %.1f dB (the sample in the middle %.1f, the worst %.1f: %s), cosine %.6f, off by at most %.4g of %.4g",
			o.Name, o.SNR, o.MedianSNR, o.WorstSNR, o.Worst, o.Cosine, o.MaxError, o.Largest)
		if o.NotFinite > 0 {
			fmt.Fprintf(&b, ", %d values NaN or infinite, which no SNR tells", o.NotFinite)
		}
		if o.Top1 != nil {
			fmt.Fprintf(&b, ", top 1 agrees on %.2f%%", 100**o.Top1)
		}
		if o.Steps != nil {
			fmt.Fprintf(&b, "; the engines differ by at most %g steps", *o.Steps)
		}
		fmt.Fprintln(&b)
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(&b, "mind: %s\n", d)
	}
	fmt.Fprintln(&b, r.Verdict)
	return b.String()
}
