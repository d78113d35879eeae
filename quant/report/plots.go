package report

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"mien/runtime/graph"
)

var (
	blue = color.RGBA{R: 0x33, G: 0x66, B: 0xaa, A: 0xff}
	red  = color.RGBA{R: 0xcc, G: 0x22, B: 0x22, A: 0xff}
)

// layersPNG draws each tensor's SNR, in the order of the network as far as the
// report knows it: that which loses most by itself first.
func (r *Report) layersPNG() ([]byte, error) {
	if len(r.Tensors) == 0 {
		return nil, nil
	}
	p := plot.New()
	p.Title.Text = "signal to quantisation noise, dB; 60 is 60 or more\nwhat loses most by itself comes first"
	p.Title.TextStyle.Font.Size = vg.Points(10)
	var values plotter.Values
	var names []string
	for _, t := range r.Tensors {
		values = append(values, min(max(t.SNR, 0), 60))
		names = append(names, graph.Short(t.Name, 24))
	}
	bars, err := plotter.NewBarChart(values, vg.Points(9))
	if err != nil {
		return nil, fmt.Errorf("report: plot: %w", err)
	}
	bars.Color = blue
	bars.LineStyle.Width = 0
	p.Add(bars)
	p.NominalX(names...)
	p.X.Tick.Label.Rotation = math.Pi / 2
	p.X.Tick.Label.XAlign = draw.XRight
	p.X.Tick.Label.YAlign = draw.YCenter
	p.Y.Min = 0
	img := vgimg.New(vg.Points(float64(max(300, 18*len(names)))), vg.Points(280))
	p.Draw(draw.New(img))
	return encode(img)
}

// histogram columns and tiles.
const (
	columns = 4
	tileW   = 190
	tileH   = 130
	margin  = vg.Length(10) // half of a number at the end of an axis
)

// histogramsPNG draws what calibration saw of each tensor, with the clipping
// points; the counts are logarithmic, because clipping happens in the tails.
func (r *Report) histogramsPNG() ([]byte, error) {
	var shown []Tensor
	for _, t := range r.Tensors {
		if len(t.Hist) > 0 {
			shown = append(shown, t)
		}
	}
	if len(shown) == 0 {
		return nil, nil
	}
	rows := (len(shown) + columns - 1) / columns
	img := vgimg.New(vg.Points(columns*tileW), vg.Points(float64(rows*tileH)))
	canvas := draw.New(img)
	for i, t := range shown {
		p, err := histogram(t)
		if err != nil {
			return nil, err
		}
		x, y := vg.Points(float64(i%columns*tileW)), vg.Points(float64((rows-1-i/columns)*tileH))
		p.Draw(draw.Crop(canvas, x+margin, x+vg.Points(tileW)-margin-canvas.Max.X, y+margin/2, y+vg.Points(tileH)-margin/2-canvas.Max.Y))
	}
	return encode(img)
}

func histogram(t Tensor) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %.1f dB", graph.Short(t.Name, 32), t.SNR)
	p.Title.TextStyle.Font.Size = vg.Points(8)
	p.X.Tick.Label.Font.Size = vg.Points(6)
	p.X.Tick.Marker = plot.TickerFunc(ends)
	p.HideY()
	width := (t.Seen[1] - t.Seen[0]) / float64(len(t.Hist))
	var line plotter.XYs
	top := 1.0
	for i, n := range t.Hist {
		y := math.Log10(1 + float64(n))
		top = max(top, y)
		x := t.Seen[0] + float64(i)*width
		line = append(line, plotter.XY{X: x, Y: y}, plotter.XY{X: x + width, Y: y})
	}
	l, err := plotter.NewLine(line)
	if err != nil {
		return nil, fmt.Errorf("report: plot: %w", err)
	}
	l.Color, l.FillColor, l.Width = blue, color.RGBA{R: 0xbb, G: 0xcc, B: 0xdd, A: 0xff}, vg.Points(0.5)
	p.Add(l)
	if t.Clip != [2]float64{} {
		for _, x := range t.Clip {
			c, err := plotter.NewLine(plotter.XYs{{X: x, Y: 0}, {X: x, Y: top}})
			if err != nil {
				return nil, fmt.Errorf("report: plot: %w", err)
			}
			c.Color = red
			p.Add(c)
		}
	}
	p.Y.Min, p.Y.Max = 0, top
	return p, nil
}

// ends marks both ends of an axis, and 0 where that is far from both: more does
// not fit under a tile.
func ends(lo, hi float64) []plot.Tick {
	out := []plot.Tick{{Value: lo, Label: fmt.Sprintf("%.3g", lo)}, {Value: hi, Label: fmt.Sprintf("%.3g", hi)}}
	if far := 0.2 * (hi - lo); lo < -far && hi > far {
		out = append(out, plot.Tick{Value: 0, Label: "0"})
	}
	return out
}

func encode(img *vgimg.Canvas) ([]byte, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, img.Image()); err != nil {
		return nil, fmt.Errorf("report: plot: %w", err)
	}
	return b.Bytes(), nil
}
