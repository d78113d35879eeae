package report

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"mien/runtime/graph"
	"mien/train/sweep"
)

// Files that Sweep makes.
const (
	SweepPlot  = "sweep.png"
	SweepTable = "sweep.md"
)

// Sweep puts the table and the plot of a sweep into dir.
func Sweep(dir string, s *sweep.Sweep) error {
	if err := write(dir, SweepPlot, func(w io.Writer) error { return sweepCurves(w, s) }); err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Sweep of %s\n\nValidation accuracy of %s, one trial in %d kept after each round of %v epochs.\n\n![accuracy by epoch](%s)\n\n",
		s.Plan.Recipe, s.Monitor(), s.Plan.Keep, s.Plan.Rounds(), SweepPlot)
	SweepRows(&b, s)
	return write(dir, SweepTable, func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
}

// SweepRows writes the trials as a table, the best first.
func SweepRows(w io.Writer, s *sweep.Sweep) {
	table(w, "trial", "settings", "epochs", "best accuracy", "")
	for _, t := range s.Ranked() {
		best := ""
		if t.Best() >= 0 {
			best = figure(t.Best())
		}
		row(w, t.Dir, strings.Join(t.Set, " "), fmt.Sprint(len(t.Curve)), best, t.Failed)
	}
}

// sweepCurves draws a line for each trial; the legend has the ten best.
func sweepCurves(w io.Writer, s *sweep.Sweep) error {
	p := plot.New()
	p.Title.Text = "validation accuracy of " + s.Monitor()
	p.Y.Label.Text, p.Y.Min, p.Y.Max = "accuracy", 0, 1
	legend, last := plot.NewLegend(), 1
	p.Add(plotter.NewGrid())
	for i, t := range s.Ranked() {
		if len(t.Curve) == 0 {
			continue
		}
		last = max(last, len(t.Curve))
		var xy plotter.XYs
		for k, v := range t.Curve {
			xy = append(xy, plotter.XY{X: float64(k + 1), Y: v})
		}
		line, dots, err := plotter.NewLinePoints(xy)
		if err != nil {
			return err
		}
		var c color.Color = color.Gray{190}
		if i < 10 {
			c = plotutil.Color(i)
			legend.Add(graph.Short(strings.Join(t.Set, " "), 60), line)
		}
		line.Color, dots.Color = c, c
		p.Add(line, dots)
	}
	overEpochs(p, 1, last)
	return drawGrid(w, [][]*plot.Plot{{p}}, &legend, 20*vg.Centimeter, 13*vg.Centimeter)
}
