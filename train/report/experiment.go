package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"mien/runtime/graph"
	"mien/train"
	"mien/train/experiment"
)

// Files that Experiment makes.
const (
	ExperimentPlot  = "experiment.png"
	ExperimentTable = "experiment.md"
)

// Experiment puts the tables and the curves of an experiment into dir, of the
// runs that have come to it: logs and answers go by the names of steps.
func Experiment(dir string, x *experiment.Experiment, logs map[string][]train.Epoch, answers map[string]experiment.Answers) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", x.Name, strings.TrimSpace(x.About))
	fmt.Fprintf(&b, "Seeds %s; ", strings.Trim(fmt.Sprint(x.Seeds), "[]"))
	if x.Limit > 0 {
		fmt.Fprintf(&b, "at most %d images of each published split; ", x.Limit)
	}
	fmt.Fprintf(&b, "best weights of each run, on test images. Loss is cross-entropy in nats. In brackets: 95%% intervals, of an accuracy by Wilson, of a difference by paired bootstrap over images: by how much seeds differ is not in it, and stands by seed; p is McNemar's, exact.\n\n")
	if len(x.Compare) > 0 {
		fmt.Fprintf(&b, "![validation accuracy by epoch](%s)\n\n", ExperimentPlot)
	}
	fmt.Fprintf(&b, "## Runs\n\n")
	experimentRuns(&b, x, logs, answers)
	fmt.Fprintf(&b, "## Comparisons\n\n")
	if err := ExperimentRows(&b, x, answers); err != nil {
		return err
	}
	if err := write(dir, ExperimentTable, func(w io.Writer) error { _, err := w.Write(b.Bytes()); return err }); err != nil {
		return err
	}
	if len(x.Compare) == 0 {
		return nil
	}
	return write(dir, ExperimentPlot, func(w io.Writer) error { return experimentCurves(w, x, logs) })
}

func experimentRuns(w io.Writer, x *experiment.Experiment, logs map[string][]train.Epoch, answers map[string]experiment.Answers) {
	table(w, "run", "seed", "epochs", "best", "data", "head", "images", "accuracy", "loss", "paper")
	published := func(run, head string) string {
		if len(x.Compare) > 0 && x.Compare[0].Head == head {
			return x.Paper[run]
		}
		return ""
	}
	for _, r := range x.Runs {
		for _, seed := range x.Seeds {
			step := experiment.Step(r.Name, seed)
			log := logs[step]
			best := 0
			for _, e := range log {
				if e.Best {
					best = e.Epoch
				}
			}
			if answers[step] == nil {
				row(w, r.Name, fmt.Sprint(seed), fmt.Sprint(len(log)), fmt.Sprint(best), "", "", "", "not done", "", "")
			}
			for _, kind := range r.Data {
				for _, h := range sorted(answers[step][kind]) {
					said := answers[step][kind][h]
					loss := ""
					if said.Loss > 0 {
						loss = figure(said.Loss)
					}
					row(w, r.Name, fmt.Sprint(seed), fmt.Sprint(len(log)), fmt.Sprint(best), kind, h, fmt.Sprint(len(said.Truth)), interval(said.Accuracy(), "%.4f"), loss, published(r.Name, h))
				}
			}
		}
	}
	fmt.Fprintln(w)
}

// ExperimentRows writes what came of the comparisons as a table.
func ExperimentRows(w io.Writer, x *experiment.Experiment, answers map[string]experiment.Answers) error {
	table(w, "run", "against", "head", "data", "images", "accuracy by seed", "against", "difference", "p by seed")
	for _, p := range x.Compare {
		o, err := x.Outcome(p, answers)
		if err != nil {
			return err
		}
		if len(o.Seeds) == 0 {
			row(w, p.Run, p.Against, p.Head, p.Data, "", "", "", "not done", "")
			continue
		}
		var run, other, chance []string
		for i := range o.Seeds {
			run, other = append(run, figure(o.Run[i].Value)), append(other, figure(o.Other[i].Value))
			chance = append(chance, fmt.Sprintf("%.2g", o.McNemar[i]))
		}
		row(w, p.Run, p.Against, p.Head, p.Data, fmt.Sprint(o.Images), strings.Join(run, ", "), strings.Join(other, ", "), interval(o.Difference, "%+.4f"), strings.Join(chance, ", "))
	}
	return nil
}

func interval(i experiment.Interval, format string) string {
	return fmt.Sprintf(format+" ["+format+", "+format+"]", i.Value, i.Low, i.High)
}

func sorted(m map[string]*experiment.Said) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// experimentCurves draws the validation accuracy of each run in the head of the
// first comparison: a colour for a run, and other dots where the colours begin
// anew; a line for a seed.
func experimentCurves(w io.Writer, x *experiment.Experiment, logs map[string][]train.Epoch) error {
	head := x.Compare[0].Head
	p := plot.New()
	p.Title.Text = "validation accuracy of " + head
	p.Y.Label.Text, p.Y.Min, p.Y.Max = "accuracy", 0, 1
	p.Add(plotter.NewGrid())
	legend, last := plot.NewLegend(), 1
	for i, r := range x.Runs {
		for k, seed := range x.Seeds {
			var xy plotter.XYs
			for _, e := range logs[experiment.Step(r.Name, seed)] {
				if s, ok := e.Val[head]; ok {
					xy = append(xy, plotter.XY{X: float64(e.Epoch), Y: s.Accuracy})
					last = max(last, e.Epoch)
				}
			}
			if len(xy) == 0 {
				continue
			}
			line, dots, err := plotter.NewLinePoints(xy)
			if err != nil {
				return err
			}
			line.Color, dots.Color = plotutil.Color(i), plotutil.Color(i)
			dots.Radius, dots.Shape = vg.Points(2), plotutil.Shape(i/len(plotutil.DefaultColors))
			if k > 0 {
				line.Dashes = dashes().Dashes
			} else {
				legend.Add(graph.Short(r.Name, 40), line, dots)
			}
			p.Add(line, dots)
		}
	}
	overEpochs(p, 1, last)
	return drawGrid(w, [][]*plot.Plot{{p}}, &legend, 20*vg.Centimeter, 13*vg.Centimeter)
}
