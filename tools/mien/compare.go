package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mien/quant"
	"mien/quant/report"
	"mien/runtime/graph"
	"mien/runtime/model"
	"mien/train/data"
)

// compareCmd measures on validation faces, so that the test faces, on which mien
// quantize measures, have had no part in the choice.
type compareCmd struct {
	quantFlags `embed:""`
	Only       []string `help:"Parts of the table: modes, calibrators, recoveries. By default all." placeholder:"PART" enum:"modes,calibrators,recoveries"`
	Calibrator []string `help:"Calibrators with which the recoveries are tried. By default the three that are nearest to float alone." placeholder:"NAME" enum:"minmax,average,percentile,mse,entropy"`
	WeightBits int      `help:"Bits that integer weights use, as in mien quantize." default:"8" placeholder:"N" least:"2" most:"8"`
	Tune       int      `help:"Steps of training for integers, as in mien quantize; 0 leaves it out." default:"0" placeholder:"STEPS" least:"0"`
}

// variant is a row: a recipe, and how many steps of training for it.
type variant struct {
	recipe quant.Recipe
	tune   int
}

// flags are what mien quantize makes the row's file of.
func (v variant) flags() string {
	out := v.recipe.Flags()
	if v.tune > 0 {
		out = append(out, "--tune", strconv.Itoa(v.tune))
	}
	return strings.Join(out, " ")
}

func (c *compareCmd) has(part string) bool {
	return len(c.Only) == 0 || slices.Contains(c.Only, part)
}

// variants are recipes with the weights' bits, where a mode has such weights.
func (c *compareCmd) variants(tune int, recipes ...quant.Recipe) (out []variant) {
	for _, r := range recipes {
		if c.WeightBits != 8 && r.Mode != quant.Float32 && r.Mode != quant.Float16 {
			r.WeightBits = c.WeightBits
		}
		out = append(out, variant{r, tune})
	}
	return out
}

// modes are tried as mien quantize makes them.
func (c *compareCmd) modes() (out []variant) {
	for _, m := range quant.Modes() {
		out = append(out, c.variants(0, quant.DefaultRecipe(m))...)
	}
	return out
}

// calibrators are tried alone.
func (c *compareCmd) calibrators() (out []variant) {
	for _, k := range quant.Calibrators() {
		out = append(out, c.variants(0, calibrated(k))...)
	}
	return out
}

// calibrated is int8 by a calibrator, without any recovery.
func calibrated(k quant.Calibrator) quant.Recipe {
	r := quant.Recipe{Mode: quant.Int8, Calibrator: k}
	if k == quant.Percentile {
		r.Percentile = quant.DefaultPercentile
	}
	return r
}

// recoveries are tried with one calibrator.
func (c *compareCmd) recoveries(k quant.Calibrator) []variant {
	plain := calibrated(k)
	equalise, correct, round, both, all := plain, plain, plain, plain, plain
	equalise.Equalise, correct.CorrectBias, round.AdaRound = true, true, true
	both.AdaRound, both.CorrectBias = true, true
	all.Equalise, all.AdaRound, all.CorrectBias = true, true, true
	out := c.variants(0, equalise, correct, round, both, all)
	if c.Tune > 0 {
		out = append(out, c.variants(c.Tune, plain, both)...)
	}
	return out
}

func (c *compareCmd) Run(e env) error {
	t, err := c.table(e)
	if err != nil {
		return err
	}
	if c.has("modes") {
		if _, err := t.rows(c.modes()); err != nil {
			return err
		}
	}
	chosen := c.Calibrator
	if c.has("calibrators") || c.has("recoveries") && len(chosen) == 0 {
		rows, err := t.rows(c.calibrators())
		if err != nil {
			return err
		}
		if len(chosen) == 0 {
			chosen = nearest(rows, 3)
		}
	}
	if c.has("recoveries") {
		for _, k := range chosen {
			if _, err := t.rows(c.recoveries(quant.Calibrator(k))); err != nil {
				return err
			}
		}
	}
	if t.best != nil {
		fmt.Fprintf(e.stdout, "\nNearest to float of the int8 files: mien quantize %s\n", t.best.flags())
	}
	return nil
}

// nearest returns the calibrators of the n rows that move least.
func nearest(rows []*row, n int) (out []string) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return r.refused != nil })
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(a.moves(), b.moves()) })
	for _, r := range rows[:min(n, len(rows))] {
		out = append(out, string(r.recipe.Calibrator))
	}
	return out
}

// table is what the rows share.
type table struct {
	*compareCmd
	e     env
	first *candidate            // the checkpoint
	tuned map[string]*candidate // by calibrator
	faces quant.Faces
	in    report.Input
	best  *row // of int8
}

// table reads everything and prints the head.
func (c *compareCmd) table(e env) (*table, error) {
	t := &table{compareCmd: c, e: e, tuned: map[string]*candidate{}, in: report.Input{Tapped: -1}}
	n, err := openNetwork(c.Checkpoint, c.Arch)
	if err != nil {
		return nil, err
	}
	t.in.Heads = n.net.Heads
	if t.faces, err = c.calibration(e); err != nil {
		return nil, err
	}
	if t.first, err = t.candidate(n); err != nil {
		return nil, err
	}
	if t.in.Samples, err = c.samples(e, data.Val, data.Test, data.All); err != nil {
		return nil, err
	}
	if len(t.in.Samples) == 0 {
		return nil, errors.New("there is nothing to compare recipes on: --measure is 0")
	}
	if t.in.Float, err = c.file(n, t.first.graph); err != nil {
		return nil, err
	}
	if t.in.Before, err = c.ask(e, t.in); err != nil {
		return nil, err
	}
	fmt.Fprintf(e.stdout, "Network %s, calibrated with %d faces, measured on %d of %s. Moves: how far the probability of float's answer "+
		"moves, in points, in the mean. Heads: on how many of all faces the answer is float's; points of accuracy lost on those with a label "+
		"(below zero: won).\n\n| option | bytes | moves |", n.net.Name, len(t.faces), len(t.in.Samples), strings.Join(kindsOf(c.evalSpecs()), " and "))
	for _, o := range t.first.graph.Outputs {
		fmt.Fprintf(e.stdout, " %s |", t.first.graph.Tensors[o].Name)
	}
	fmt.Fprintf(e.stdout, "\n| --- | ---: | ---: |%s\n", strings.Repeat(" ---: |", len(t.first.graph.Outputs)))
	return t, nil
}

// rows measures variants and prints a row of each.
func (t *table) rows(all []variant) ([]*row, error) {
	var out []*row
	for _, v := range all {
		r, err := t.row(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.flags(), err)
		}
		fmt.Fprintln(t.e.stdout, r)
		if r.refused == nil && v.recipe.Mode == quant.Int8 && (t.best == nil || r.moves() < t.best.moves()) {
			t.best = r
		}
		out = append(out, r)
	}
	return out, nil
}

// candidate is a network with what calibration saw of it.
type candidate struct {
	net   *network
	graph *graph.Graph
	stats *quant.Stats
}

func (t *table) candidate(n *network) (*candidate, error) {
	g, err := n.graph(t.Heads)
	if err != nil {
		return nil, err
	}
	stats, err := quant.Calibrate(t.e.ctx, g, t.faces, quant.Options{Threads: t.Threads})
	if err != nil {
		return nil, err
	}
	return &candidate{n, g, stats}, nil
}

// tunedFor trains the network for integers, once for each calibrator.
func (t *table) tunedFor(r quant.Recipe) (*candidate, error) {
	key := string(r.Calibrator)
	if c := t.tuned[key]; c != nil {
		return c, nil
	}
	plain := quant.Recipe{Mode: r.Mode, Calibrator: r.Calibrator, WeightBits: r.WeightBits}
	res, err := t.build(t.e, t.first.graph, t.faces, plain, t.first.stats)
	if err != nil {
		return nil, err
	}
	n, err := t.tune(t.e, t.first.net, res.Plan, t.Tune)
	if err != nil {
		return nil, err
	}
	t.tuned[key], err = t.candidate(n)
	return t.tuned[key], err
}

func (t *table) row(v variant) (*row, error) {
	from := t.first
	if v.tune > 0 {
		var err error
		if from, err = t.tunedFor(v.recipe); err != nil {
			return nil, err
		}
	}
	var err error
	in := t.in
	if in.Result, err = t.build(t.e, from.graph, t.faces, v.recipe, from.stats); err != nil {
		return nil, err
	}
	if in.File, err = t.file(from.net, in.Result.Graph); err != nil {
		return nil, err
	}
	m, err := openEngine(t.Engine, in.File, 1)
	if err != nil {
		return &row{variant: v, refused: err}, nil // as 16x8 in the portable engine: the others can still be compared
	}
	m.Close()
	rep, err := t.compare(t.e, in)
	if err != nil {
		return nil, err
	}
	return &row{variant: v, Report: rep}, nil
}

// file is a graph with the least card that engines read.
func (c *compareCmd) file(n *network, g *graph.Graph) ([]byte, error) {
	var card model.Card
	n.describe(&card, g)
	return withCard(g, card)
}

// row is a line of the table.
type row struct {
	variant
	*report.Report
	refused error // the engine does not run the file, and Report is nil
}

// moves is the mean of the heads' MeanShift: it tells files apart with far
// fewer faces than accuracy does.
func (r *row) moves() float64 {
	sum := 0.0
	for _, h := range r.Heads {
		sum += h.MeanShift
	}
	return sum / float64(len(r.Heads))
}

func (r *row) String() string {
	if r.refused != nil {
		return fmt.Sprintf("| `%s` | | not measured: %v |", r.flags(), r.refused)
	}
	cells := []string{fmt.Sprintf("`%s`", r.flags()), fmt.Sprint(r.Bytes), fmt.Sprintf("%.2f", r.moves())}
	for _, h := range r.Heads {
		cell := fmt.Sprintf("%.2f%%", 100*h.Agreement)
		if h.All.N > 0 {
			cell += fmt.Sprintf(", %+.2f", h.All.Drop)
		}
		cells = append(cells, cell)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}
