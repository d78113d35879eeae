package card

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mien/runtime/model"
)

// Page is the card of the model at path as Markdown. The same file gives
// the same page.
func Page(path string, file []byte, c model.Card) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	p("# %s\n\n%s\n", name, c.Description)
	p("Written by `mien card` from the card inside `%s`; the figures there are these.\n", filepath.Base(path))
	p("Input: %s. Network `%s`, %d epochs by the recipe below; %s.\n", c.Input, c.Arch, c.Epochs, c.Quantised)
	pageAccuracy(p, c)
	pageLimits(p, c)
	pageGroups(p, c)
	pageConfusion(p, c)
	pageOrigin(p, file, c)
	return b.String()
}

type printer func(format string, args ...any)

func pageAccuracy(p printer, c model.Card) {
	p("## Accuracy\n\nOn images that taught and chose nothing, measured in %s.", c.Engine)
	p("Calibration error: how far confidences are off, before and after dividing by the temperature, which was found on other images.\n")
	pageFigures(p, c, false)
	if slices.ContainsFunc(c.Accuracy, func(a model.Accuracy) bool { return a.Other }) {
		p("\n## On photographs of another origin\n\nSets that taught nothing, or other labels of the same pictures; the temperature is the one from above.\n")
		pageFigures(p, c, true)
	}
}

func pageFigures(p printer, c model.Card, other bool) {
	p("| head | data | images | this file | float | calibration error | scaled | temperature |")
	p("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, a := range c.Accuracy {
		if a.Other != other {
			continue
		}
		if a.Unit != "" {
			p("| %s | %s | %d | off by %.4g %s | %s | | | |", a.Head, a.Data, a.N, a.MAE, a.Unit, known(a.Float > 0, a.MAEFloat))
			continue
		}
		p("| %s | %s | %d | %.4f | %s | %.4f | %.4f | %.3f |", a.Head, a.Data, a.N, a.File, known(a.Float > 0, a.Float), a.ECE, a.Scaled, Temperature(c, a.Head))
	}
}

// known is a figure in float, if the checkpoint was measured.
func known(measured bool, v float64) string {
	if !measured {
		return "not measured"
	}
	return fmt.Sprintf("%.4f", v)
}

// Temperature is a head's temperature in a card; 1 where it has none.
func Temperature(c model.Card, head string) float32 {
	for i, h := range c.Heads {
		if h.Name == head && i < len(c.Temperature) {
			return c.Temperature[i]
		}
	}
	return 1
}

func pageLimits(p printer, c model.Card) {
	p("\n## What it cannot do\n")
	for _, l := range c.Limits {
		p("- %s", l)
	}
}

func pageGroups(p printer, c model.Card) {
	p("\n## Accuracy by group\n\nGroups are by the true label; where the images have none, marked *, by what this file says about them.\n")
	if slices.ContainsFunc(c.Heads, model.Head.Measures) {
		p("Of a head that measures the figures are 1 less the mean error as a part of its scale.\n")
	}
	p("| head | data | by | group | images | this file | float |\n| --- | --- | --- | --- | ---: | ---: | ---: |")
	for _, a := range c.Accuracy {
		measured := slices.ContainsFunc(a.Groups, func(g model.Group) bool { return g.Float > 0 })
		for _, g := range a.Groups {
			label := g.Label
			if g.Said {
				label += " *"
			}
			p("| %s | %s | %s | %s | %d | %.4f | %s |", a.Head, a.Data, g.By, label, g.N, g.File, known(measured, g.Float))
		}
	}
}

func pageConfusion(p printer, c model.Card) {
	p("\n## Confusion\n\nImages by true label (rows) and by what this file says (columns).")
	for _, a := range c.Accuracy {
		k := model.Index(c.Heads, a.Head)
		if k < 0 {
			continue
		}
		h := c.Heads[k]
		p("\n| %s, %s | %s | recall |\n|%s", a.Head, a.Data, strings.Join(h.Labels, " | "), " --- |"+strings.Repeat(" ---: |", len(h.Labels)+1))
		for i, row := range a.Confusion {
			var cells []string
			for _, n := range row {
				cells = append(cells, fmt.Sprint(n))
			}
			recall := ""
			if n := sum(row); n > 0 {
				recall = fmt.Sprintf("%.4f", float64(row[i])/float64(n))
			}
			p("| %s | %s | %s |", h.Labels[i], strings.Join(cells, " | "), recall)
		}
	}
}

func pageOrigin(p printer, file []byte, c model.Card) {
	p("\n## Training data and its terms\n")
	for _, d := range c.Training {
		p("- %s, %d images: %s", d.Name, d.Images, d.Terms)
	}
	p("\n## Made by\n")
	if c.Reproduce != "" {
		for line := range strings.Lines(strings.TrimSpace(c.Reproduce) + "\n") {
			p("    %s", strings.TrimSpace(line))
		}
		p("")
	}
	p("The recipe:\n")
	for line := range strings.Lines(strings.TrimSpace(c.Recipe) + "\n") {
		p("    %s", strings.TrimRight(line, "\n"))
	}
	p("\n| SHA-256 of | |\n| --- | --- |")
	p("| this file, %d bytes | `%x` |", len(file), sha256.Sum256(file))
	p("| the checkpoint | `%s` |", c.SHA256.Checkpoint)
	p("| the calibration faces | `%s` |", c.SHA256.Calibration)
}
