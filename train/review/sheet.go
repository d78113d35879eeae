package review

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"mien/runtime/model"
	"mien/train/data"
)

// Layout of a sheet, pixels.
const (
	zoom   = 2
	side   = model.Side * zoom
	gap    = 8
	line   = 14 // of text
	edge   = 3  // of a frame
	across = 8  // faces
)

// Cell is one face of a sheet: the picture, where its answer rests, and what is
// written below.
type Cell struct {
	Face     []uint8
	Saliency []float32 // beside the face when it is not nil
	Lines    []string
	Marked   bool // framed, to be noticed
}

// Sheet draws faces beside each other, at twice their size.
func Sheet(cells []Cell) *image.RGBA {
	lines, wide := 0, side
	for _, c := range cells {
		lines = max(lines, len(c.Lines))
		if c.Saliency != nil {
			wide = 2 * side
		}
		for _, l := range c.Lines {
			wide = max(wide, font.MeasureString(basicfont.Face7x13, l).Ceil())
		}
	}
	n := max(min(across, len(cells)), 1)
	rows := (len(cells) + n - 1) / n
	w, h := wide+gap, side+edge+lines*line+gap
	out := image.NewRGBA(image.Rect(0, 0, n*w+gap, max(rows, 1)*h+gap))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	for i, c := range cells {
		c.draw(out, gap+i%n*w, gap+i/n*h)
	}
	return out
}

func (c *Cell) draw(out *image.RGBA, x, y int) {
	if c.Marked {
		frame := image.Rect(x, y, x+side, y+side)
		if c.Saliency != nil {
			frame.Max.X += side
		}
		frame = frame.Inset(-edge)
		draw.Draw(out, frame, image.NewUniform(color.RGBA{220, 60, 40, 255}), image.Point{}, draw.Src)
	}
	grey := &image.Gray{Pix: c.Face, Stride: model.Side, Rect: image.Rect(0, 0, model.Side, model.Side)}
	xdraw.NearestNeighbor.Scale(out, image.Rect(x, y, x+side, y+side), grey, grey.Rect, draw.Src, nil)
	if c.Saliency != nil {
		heat := heatmap(c.Face, c.Saliency)
		xdraw.NearestNeighbor.Scale(out, image.Rect(x+side, y, x+2*side, y+side), heat, heat.Rect, draw.Src, nil)
	}
	for i, l := range c.Lines {
		d := font.Drawer{Dst: out, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(x, y+side+edge+(i+1)*line-3)}
		d.DrawString(l)
	}
}

// heatmap lays red over a face where the answer rests on it, and blue where it
// speaks against.
func heatmap(face []uint8, saliency []float32) *image.RGBA {
	most := float32(0.02) // less than that moves no answer
	for _, v := range saliency {
		most = max(most, float32(math.Abs(float64(v))))
	}
	out := image.NewRGBA(image.Rect(0, 0, model.Side, model.Side))
	for i, v := range face {
		s := saliency[i] / most
		r, b := max(s, 0), max(-s, 0)
		dim := 1 - 0.7*max(r, b)
		out.SetRGBA(i%model.Side, i/model.Side, color.RGBA{
			R: uint8(float32(v)*dim + 178*r), G: uint8(float32(v) * dim), B: uint8(float32(v)*dim + 178*b), A: 255})
	}
	return out
}

// MistakeCells are the cells of mistakes, with the saliency of what was said.
func MistakeCells(heads []model.Head, all []Mistake, ask Ask) ([]Cell, error) {
	var cells []Cell
	for _, m := range all {
		h := heads[m.Head]
		c := Cell{Face: m.Sample.Face, Marked: m.Doubtful, Lines: []string{
			fmt.Sprintf("%s %.0f%%", h.Labels[m.Said], 100*m.P), fmt.Sprintf("is %s %.0f%%", h.Labels[m.Truth], 100*m.True)}}
		if ask != nil {
			s, err := Saliency(ask, m.Sample.Face, m.Head, m.Said)
			if err != nil {
				return nil, err
			}
			c.Saliency = s
		}
		cells = append(cells, c)
	}
	return cells, nil
}

// number is the answer of a head that measures, with the truth behind it.
func number(h model.Head, p []float32, x *data.Sample, at int) string {
	scale := h.Values()
	mean, _ := model.Mean(scale, p)
	if !x.Answers(at) {
		return h.Text(mean)
	}
	return h.Text(mean) + " (" + h.Text(x.Number(at, scale)) + ")"
}

// AnswerCells are the cells of some samples with the answers of some heads, by
// their places, as in Figure 5 of Saroop et al. 2021; what is wrong has the label
// behind it. The saliency is that of the first one's answer.
func AnswerCells(heads []model.Head, some []int, samples []data.Sample, ask Ask) ([]Cell, error) {
	var cells []Cell
	for i := range samples {
		x := &samples[i]
		answers, err := ask(x.Face)
		if err != nil {
			return nil, err
		}
		p := answers[0]
		c := Cell{Face: x.Face}
		said := 0
		for _, k := range some {
			h, best := heads[k], largest(p[k])
			if k == some[0] {
				said = best
			}
			text := fmt.Sprintf("%s %.0f%%", h.Labels[best], 100*p[k][best])
			if h.Measures() {
				c.Lines = append(c.Lines, number(h, p[k], x, k))
				continue
			}
			if truth := x.Labels[k]; truth >= 0 && int(truth) != best {
				text += " (" + h.Labels[truth] + ")"
			}
			c.Lines = append(c.Lines, text)
		}
		if c.Saliency, err = Saliency(ask, x.Face, some[0], said); err != nil {
			return nil, err
		}
		cells = append(cells, c)
	}
	return cells, nil
}
