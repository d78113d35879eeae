package report

import (
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mien/runtime/model"
	"mien/train"
	"mien/train/data"
)

// paper holds the figures of Saroop et al. 2021, on RAF-DB's and FER-2013's
// validation images.
var paper = struct {
	single, multi map[string]string // accuracy by head; emotion also by set
	loss          map[string]string
}{
	single: map[string]string{"rafdb": "0.4538", "fer2013": "0.6791"},
	multi:  map[string]string{"rafdb": "0.7926", "fer2013": "0.5312 (fine-tuned after)", "gender": "0.7832", "race": "0.8610", "age": "0.7476"},
	loss:   map[string]string{"emotion": "0.6956", "gender": "0.5110", "race": "0.4524", "age": "0.9003"},
}

func (r *Run) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Training report: %s\n\n", r.Recipe.Name)
	if r.Recipe.About != "" {
		fmt.Fprintf(w, "%s ", r.Recipe.About)
	}
	fmt.Fprintf(w, "Seed %d, %d epochs, the best is epoch %d by validation accuracy (%s). ", r.Recipe.Seed, len(r.Log), r.BestEpoch, r.Recipe.Monitor)
	fmt.Fprintf(w, "`val` chose the learning rate and the best epoch; nothing was chosen by `test`.\n\n")
	if len(r.Untaught) > 0 {
		fmt.Fprintf(w, "**Untaught: %s.** No image had a label of these: their answers are those of random weights, and they are left out of what follows and of files made from this checkpoint.\n\n", strings.Join(r.Untaught, ", "))
	}
	for _, d := range r.Drops {
		fmt.Fprintf(w, "**%s was not trained on** (its loss is 0): its accuracy on `val` went from %s to %s.\n\n", d.Head, figure(d.Before), figure(d.After))
	}
	if len(r.Log) > 0 {
		fmt.Fprintf(w, "![accuracy and loss of every head](%s)\n\n", CurvesFile)
	}
	if heads, some := r.some(); r.Ask != nil && len(some) > 0 && len(heads) > 0 {
		fmt.Fprintf(w, "![answers about some faces](%s)\n\nRight of each face: red where the answer of %s rests on it, blue where it speaks against. In brackets: the label, where the answer is wrong.\n\n", AnswersFile, r.Recipe.Heads[heads[0]].Name)
	}
	r.tables(w)
	for _, h := range r.Recipe.Heads {
		r.head(w, h)
	}
	r.subgroups(w)
}

// task names what the run trains: one head, one head of weights that came from
// an earlier run, or several.
func (r *Run) task() string {
	n := 0
	for _, h := range r.Recipe.Heads {
		if r.Recipe.Losses[h.Name] > 0 {
			n++
		}
	}
	switch {
	case n == 1 && r.From != "":
		// Without what lies above the run's folder, which is another on each machine.
		return "trained on for one task from " + path.Join(filepath.Base(filepath.Dir(r.From)), filepath.Base(r.From))
	case n == 1:
		return "single-task"
	}
	return "multi-task"
}

// tables writes the paper's tables of a run that answers what the paper asks,
// and the same without the paper's figures of any other.
func (r *Run) tables(w io.Writer) {
	accuracy := func(m *train.HeadMetrics) float64 { return m.Accuracy }
	loss := func(m *train.HeadMetrics) float64 { return m.Loss }
	const nats = "Cross-entropy in nats, without the recipe's weight.\n\n"
	if !r.asThePaper() {
		fmt.Fprintf(w, "This run is %s.\n\n## Accuracy of every head\n\n", r.task())
		r.each(w, "accuracy", accuracy, nil)
		fmt.Fprint(w, "\n## Loss of every head\n\n", nats)
		r.each(w, "loss", loss, nil)
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "## Table 1. Emotion accuracy, single-task and multi-task\n\nThis run is %s.\n\n", r.task())
	table(w, "data", "split", "images", "single-task", "multi-task", "paper, single", "paper, multi")
	for _, x := range r.Measured {
		m := x.Metrics.Heads[model.Emotion.Name]
		if m == nil || m.N == 0 {
			continue
		}
		single, multi := "", ""
		if r.task() == "single-task" {
			single = figure(m.Accuracy)
		} else {
			multi = figure(m.Accuracy)
		}
		row(w, x.Data, x.Split, fmt.Sprint(m.N), single, multi, paper.single[x.Data], paper.multi[x.Data])
	}
	fmt.Fprint(w, "\nThe paper validates on RAF-DB and FER-2013.\n\n## Table 2. Accuracy of every head\n\n")
	r.each(w, "accuracy", accuracy, func(h string) string {
		if h == model.Emotion.Name {
			return paper.multi["rafdb"]
		}
		return paper.multi[h]
	})
	fmt.Fprint(w, "\n## Table 3. Loss of every head\n\n", nats)
	r.each(w, "loss", loss, func(h string) string { return paper.loss[h] })
	fmt.Fprintln(w)
}

// asThePaper tells whether every head is one of the paper's.
func (r *Run) asThePaper() bool {
	for _, h := range r.Recipe.Heads {
		if _, ok := paper.loss[h.Name]; !ok {
			return false
		}
	}
	return true
}

func (r *Run) each(w io.Writer, what string, value func(*train.HeadMetrics) float64, papers func(head string) string) {
	columns := []string{"head", "data", "split", "images", what}
	if papers != nil {
		columns = append(columns, "paper (RAF-DB)")
	}
	table(w, columns...)
	for _, h := range r.Recipe.Heads {
		for _, x := range r.Measured {
			if m := x.Metrics.Heads[h.Name]; m != nil && m.N > 0 {
				cells := []string{h.Name, x.Data, x.Split, fmt.Sprint(m.N), figure(value(m))}
				if papers != nil {
					cells = append(cells, papers(h.Name))
				}
				row(w, cells...)
			}
		}
	}
}

// head writes a head's labels with precision, recall and F1.
func (r *Run) head(w io.Writer, h model.Head) {
	split := r.finalSplit(h)
	m := r.together(h, split)
	if m == nil {
		return
	}
	if h.Measures() {
		fmt.Fprintf(w, "## %s\n\nOn `%s`, %d images: off by %.3g %s in the mean (a number from %s, learned as a distribution over its steps).\n\n![confusion of %s](%s)\n\n",
			h.Name, split, m.N, m.MAE, h.Unit, h.Say(), h.Name, confusionFile(h))
		return
	}
	fmt.Fprintf(w, "## %s\n\nOn `%s`, %d images: accuracy %s", h.Name, split, m.N, figure(m.Accuracy))
	if data.Ordered(h) {
		fmt.Fprintf(w, ", %s labels off in the mean", figure(m.Distance))
	}
	fmt.Fprint(w, ".\n\n")
	table(w, "label", "images", "precision", "recall", "F1")
	var macro float64
	present := 0
	for _, c := range m.Classes(h.Labels) {
		if c.N == 0 {
			row(w, c.Label, "0", "", "", "")
			continue
		}
		macro += c.F1
		present++
		row(w, c.Label, fmt.Sprint(c.N), figure(c.Precision), figure(c.Recall), figure(c.F1))
	}
	fmt.Fprintf(w, "\nMean F1 of the labels that occur: %s.\n\n![confusion of %s](%s)\n\n", figure(macro/float64(present)), h.Name, confusionFile(h))
}

// subgroups writes every head's accuracy by the labels of every other head.
func (r *Run) subgroups(w io.Writer) {
	if slices.ContainsFunc(r.Recipe.Heads, model.Head.Measures) {
		fmt.Fprint(w, "The accuracy of a head that measures is 1 less its mean error as a part of its scale.\n\n")
	}
	fmt.Fprint(w, "## Accuracy by subgroup\n\nGroups are by the true label where the image has one; otherwise, marked *, by what the model says.\n\n")
	table(w, "head", "by", "group", "images", "accuracy")
	for i, head := range r.Recipe.Heads {
		for _, g := range r.groups(i) {
			name := g.Label
			if g.Said {
				name += " *"
			}
			row(w, head.Name, g.By, name, fmt.Sprint(g.N), figure(g.Accuracy()))
		}
	}
}

// groups are those of a head on its final split of all sets.
func (r *Run) groups(head int) []train.Group {
	var samples []data.Sample
	var said []data.Labels
	split := r.finalSplit(r.Recipe.Heads[head])
	for _, x := range r.Measured {
		if x.Split != split {
			continue
		}
		samples = append(samples, x.Samples...)
		for _, l := range x.Metrics.Said {
			said = append(said, r.taughtOnly(l))
		}
	}
	return train.Groups(r.Recipe.Heads, samples, said, said, head)
}

// taughtOnly leaves out what heads say that nothing has taught.
func (r *Run) taughtOnly(l data.Labels) data.Labels {
	l = slices.Clone(l)
	for i, h := range r.Recipe.Heads {
		if slices.Contains(r.Untaught, h.Name) {
			l[i] = data.NoLabel
		}
	}
	return l
}

func figure(v float64) string { return fmt.Sprintf("%.4f", v) }

func table(w io.Writer, head ...string) {
	row(w, head...)
	fmt.Fprintln(w, "|"+strings.Repeat(" --- |", len(head)))
}

func row(w io.Writer, cells ...string) {
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}
