package report

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"mien/runtime/model"
	"mien/train"
)

var (
	trainColor = color.RGBA{120, 120, 120, 255}
	valColor   = color.RGBA{200, 40, 40, 255}
	dropColor  = color.RGBA{60, 90, 200, 255}
)

// curves draws the paper's Figure 4: accuracy above, loss below, a column for
// each head; dashed lines mark where the learning rate fell.
func curves(w io.Writer, asked []model.Head, log []train.Epoch) error {
	var heads []model.Head
	for _, h := range asked {
		if len(points(log, h, accuracyOf, valOf)) > 0 {
			heads = append(heads, h)
		}
	}
	if len(heads) == 0 {
		return fmt.Errorf("no head was validated")
	}
	plots := [][]*plot.Plot{make([]*plot.Plot, len(heads)), make([]*plot.Plot, len(heads))}
	for i, h := range heads {
		for k, value := range []func(train.HeadSummary) float64{accuracyOf, lossOf} {
			p, err := curve(log, h, value, k == 0)
			if err != nil {
				return err
			}
			p.Title.Text, p.Y.Label.Text = h.Name, []string{"accuracy", "loss"}[k]
			plots[k][i] = p
		}
	}
	legend, err := curvesLegend(slices.ContainsFunc(log, func(e train.Epoch) bool { return e.Dropped }))
	if err != nil {
		return err
	}
	return drawGrid(w, plots, legend, 9*vg.Centimeter, 7*vg.Centimeter)
}

// curvesLegend explains the lines of all curves.
func curvesLegend(falls bool) (*plot.Legend, error) {
	l := plot.NewLegend()
	add := func(name string, style draw.LineStyle) error {
		line, err := plotter.NewLine(plotter.XYs{{}, {X: 1}})
		if err != nil {
			return err
		}
		line.LineStyle = style
		l.Add(name, line)
		return nil
	}
	err := errors.Join(add("train", lineOf(trainColor)), add("val", lineOf(valColor)))
	if falls {
		err = errors.Join(err, add("learning rate falls", dashes()))
	}
	return &l, err
}

func lineOf(c color.Color) draw.LineStyle { return draw.LineStyle{Color: c, Width: vg.Points(1)} }

func dashes() draw.LineStyle {
	return draw.LineStyle{Color: dropColor, Width: vg.Points(1.5), Dashes: []vg.Length{vg.Points(4), vg.Points(3)}}
}

// epochs marks whole epochs, at most ten of them.
func epochs(lo, hi float64) []plot.Tick {
	var out []plot.Tick
	step := 1
	for i := 0; int(hi)-int(lo) > 10*step; i++ {
		step = [...]int{2, 5, 10}[i%3] * int(math.Pow10(i/3))
	}
	for e := int(math.Ceil(lo)); e <= int(math.Floor(hi)); e++ {
		if e > 0 && (e%step == 0 || step == 1) {
			out = append(out, plot.Tick{Value: float64(e), Label: strconv.Itoa(e)})
		}
	}
	return out
}

// overEpochs gives p an axis of epochs, from just before the first to just
// after the last of them.
func overEpochs(p *plot.Plot, first, last int) {
	p.X.Label.Text, p.X.Tick.Marker = "epoch", plot.TickerFunc(epochs)
	margin := max(0.03*float64(last-first), 0.3)
	p.X.Min, p.X.Max = float64(first)-margin, float64(last)+margin
}

func accuracyOf(s train.HeadSummary) float64 { return s.Accuracy }
func lossOf(s train.HeadSummary) float64     { return s.Loss }

func trainOf(e train.Epoch) map[string]train.HeadSummary { return e.Train }
func valOf(e train.Epoch) map[string]train.HeadSummary   { return e.Val }

func points(log []train.Epoch, h model.Head, value func(train.HeadSummary) float64, of func(train.Epoch) map[string]train.HeadSummary) plotter.XYs {
	var xy plotter.XYs
	for _, e := range log {
		if s, ok := of(e)[h.Name]; ok {
			xy = append(xy, plotter.XY{X: float64(e.Epoch), Y: value(s)})
		}
	}
	return xy
}

func curve(log []train.Epoch, h model.Head, value func(train.HeadSummary) float64, share bool) (*plot.Plot, error) {
	p := plot.New()
	p.Add(plotter.NewGrid())
	for _, x := range []struct {
		name  string
		color color.Color
		of    func(train.Epoch) map[string]train.HeadSummary
	}{{"train", trainColor, trainOf}, {"val", valColor, valOf}} {
		xy := points(log, h, value, x.of)
		if len(xy) == 0 {
			continue // a head with loss weight 0 may have no training images
		}
		line, dots, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, err
		}
		line.Color, dots.Color, dots.Radius, dots.Shape = x.color, x.color, vg.Points(1.5), draw.CircleGlyph{}
		p.Add(line, dots)
	}
	if share {
		p.Y.Min, p.Y.Max = 0, 1
	}
	overEpochs(p, log[0].Epoch, log[len(log)-1].Epoch)
	for _, e := range log {
		if e.Dropped {
			if err := mark(p, float64(e.Epoch)); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// mark draws a dashed line over the height of the plot.
func mark(p *plot.Plot, x float64) error {
	line, err := plotter.NewLine(plotter.XYs{{X: x, Y: p.Y.Min}, {X: x, Y: p.Y.Max}})
	if err != nil {
		return err
	}
	line.LineStyle = dashes()
	p.Add(line)
	return nil
}

// drawGrid draws plots of a size in rows, and the legend, if there is one, beside
// them, where it covers none.
func drawGrid(w io.Writer, plots [][]*plot.Plot, legend *plot.Legend, width, height vg.Length) error {
	rows, cols := len(plots), len(plots[0])
	width, height = width*vg.Length(cols), height*vg.Length(rows)
	var beside vg.Length
	if legend != nil {
		legend.Top, legend.Padding = true, vg.Points(3)
		size := legend.Rectangle(draw.New(vgimg.New(width, height))).Size() // of the text, which depends on no size
		beside, height = size.X+vg.Points(12), max(height, size.Y+vg.Points(12))
	}
	c := vgimg.NewWith(vgimg.UseWH(width+beside, height), vgimg.UseDPI(110))
	canvas := draw.New(c)
	if legend != nil {
		legend.Draw(draw.Crop(canvas, width+vg.Points(4), -vg.Points(4), vg.Points(4), -vg.Points(8)))
		canvas = draw.Crop(canvas, 0, -beside, 0, 0)
	}
	tiles := draw.Tiles{Rows: rows, Cols: cols, PadX: vg.Points(8), PadY: vg.Points(8), PadTop: vg.Points(4), PadBottom: vg.Points(4), PadLeft: vg.Points(4), PadRight: vg.Points(8)}
	canvases := plot.Align(plots, tiles, canvas)
	for i := range plots {
		for k := range plots[i] {
			plots[i][k].Draw(canvases[i][k])
		}
	}
	_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(w)
	return err
}

// matrix is a confusion matrix as a grid of shares of each true label.
type matrix struct{ m [][]int }

func (g matrix) Dims() (c, r int)   { return len(g.m), len(g.m) }
func (g matrix) X(c int) float64    { return float64(c) }
func (g matrix) Y(r int) float64    { return float64(r) }
func (g matrix) Z(c, r int) float64 { return g.share(len(g.m)-1-r, c) } // the first label on top

func (g matrix) share(truth, said int) float64 {
	n := 0
	for _, v := range g.m[truth] {
		n += v
	}
	if n == 0 {
		return 0
	}
	return float64(g.m[truth][said]) / float64(n)
}

// blues goes from white to dark blue.
type blues struct{}

func (blues) Colors() []color.Color {
	out := make([]color.Color, 101)
	for i := range out {
		out[i] = color.RGBA{uint8(255 - 2*i), uint8(255 - 3*i/2), uint8(255 - i/2), 255}
	}
	return out
}

// confusion draws counts and shares: a row for each true label.
func confusion(w io.Writer, h model.Head, m *train.HeadMetrics) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: accuracy %.4f of %d", h.Name, m.Accuracy, m.N)
	if h.Measures() {
		p.Title.Text = fmt.Sprintf("%s: off by %.3g %s in %d", h.Name, m.MAE, h.Unit, m.N)
	}
	p.X.Label.Text, p.Y.Label.Text = "said", "true"
	g := matrix{m.Confusion}
	heat := plotter.NewHeatMap(g, blues{})
	heat.Min, heat.Max = 0, 1
	p.Add(heat)
	n := len(h.Labels)
	reversed := make([]string, n)
	var cells plotter.XYLabels
	for i, l := range h.Labels {
		reversed[n-1-i] = l
		for k := range n {
			cells.XYs = append(cells.XYs, plotter.XY{X: float64(k), Y: float64(n - 1 - i)})
			cells.Labels = append(cells.Labels, fmt.Sprintf("%d\n%.0f%%", m.Confusion[i][k], 100*g.share(i, k)))
		}
	}
	labels, err := plotter.NewLabels(cells)
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		s := &labels.TextStyle[i]
		s.XAlign, s.YAlign, s.Font.Size = draw.XCenter, draw.YCenter, font.Length(9)
		if g.share(i/n, i%n) > 0.5 {
			s.Color = color.White
		}
	}
	p.Add(labels)
	p.NominalX(h.Labels...)
	if slices.ContainsFunc(h.Labels, func(l string) bool { return len(l) > 10 }) { // wider than a cell
		p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = math.Pi/4, draw.XRight, draw.YCenter
	}
	p.NominalY(reversed...)
	side := vg.Length(n)*1.9*vg.Centimeter + 4*vg.Centimeter
	return drawGrid(w, [][]*plot.Plot{{p}}, nil, side, side-2*vg.Centimeter)
}
