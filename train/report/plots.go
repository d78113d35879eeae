package report

import (
	"fmt"
	"image/color"
	"io"

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
			p, err := curve(log, h, value)
			if err != nil {
				return err
			}
			p.Legend.Top = k == 1 // accuracy rises, loss falls: where the lines are not
			p.Title.Text, p.Y.Label.Text = h.Name, []string{"accuracy", "loss"}[k]
			plots[k][i] = p
		}
	}
	return drawGrid(w, plots, 9*vg.Centimeter, 7*vg.Centimeter)
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

func curve(log []train.Epoch, h model.Head, value func(train.HeadSummary) float64) (*plot.Plot, error) {
	p := plot.New()
	p.X.Label.Text = "epoch"
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
		p.Legend.Add(x.name, line)
	}
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
	line.Color, line.Dashes = dropColor, []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(line)
	return nil
}

func drawGrid(w io.Writer, plots [][]*plot.Plot, width, height vg.Length) error {
	rows, cols := len(plots), len(plots[0])
	c := vgimg.NewWith(vgimg.UseWH(width*vg.Length(cols), height*vg.Length(rows)), vgimg.UseDPI(110))
	tiles := draw.Tiles{Rows: rows, Cols: cols, PadX: vg.Points(8), PadY: vg.Points(8), PadTop: vg.Points(4), PadBottom: vg.Points(4), PadLeft: vg.Points(4), PadRight: vg.Points(8)}
	canvases := plot.Align(plots, tiles, draw.New(c))
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
	p.NominalY(reversed...)
	side := vg.Length(n)*1.9*vg.Centimeter + 4*vg.Centimeter
	return drawGrid(w, [][]*plot.Plot{{p}}, side, side-2*vg.Centimeter)
}
