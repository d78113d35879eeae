package inspect

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Sizes of the drawing, in pixels. Text is in a font of one width, so that it
// can be measured here.
const (
	charWidth  = 6.7
	lineHeight = 14
	boxPad     = 8
	gapX, gapY = 24, 22
	bulge      = 26 // how far an edge that passes a row keeps from its boxes
)

// box is a node of the drawing: an input, an operator or an output.
type box struct {
	lines      []string // the first is bold
	fill       string
	from       []int // boxes that it reads
	row        int
	x, y, w, h float64
}

// SVG returns the graph as a picture: operators in rows, the ones that are
// computed first above, each with its weights and what it computes. Boxes are
// coloured by the type of their result.
func (info *Info) SVG() string {
	boxes := info.boxes()
	width, height := place(boxes)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="monospace" font-size="11">`+"\n",
		width, height, width, height)
	b.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>` + "\n")
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i := range boxes {
		for _, f := range boxes[i].from {
			edge(&b, boxes, f, i)
		}
	}
	for i := range boxes {
		boxes[i].draw(&b)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// fills are the colours of the types.
var fills = map[string]string{"float32": "#fde9d0", "float16": "#fbf3c8", "int8": "#d9ead3", "uint8": "#d9ead3", "int16": "#d0e3f5"}

func newBox(t Tensor, from []int, lines ...string) box {
	return box{fill: cmp.Or(fills[t.Type], "#eeeeee"), from: from, lines: lines}
}

// boxes lists inputs, operators and outputs, each behind what it reads.
func (info *Info) boxes() []box {
	var out []box
	made := map[int]int{} // the box that makes a tensor
	for _, t := range info.Inputs {
		made[t.Index] = len(out)
		out = append(out, newBox(t, nil, "input "+t.Name, fmt.Sprintf("%v %s", t.sizes(), t.kind())))
	}
	for i, o := range info.Operators {
		lines := []string{fmt.Sprintf("%d %s", i, o.Name)}
		if o.Options != "" {
			lines = append(lines, o.Options)
		}
		var from []int
		for _, t := range o.Inputs {
			if f, ok := made[t.Index]; ok && !t.Constant && !slices.Contains(from, f) {
				from = append(from, f)
			}
			if t.Constant {
				lines = append(lines, fmt.Sprintf("%v %s", t.sizes(), t.kind()))
			}
		}
		if o.MACs > 0 {
			lines = append(lines, fmt.Sprintf("%.2f M multiply-adds", float64(o.MACs)/1e6))
		}
		var first Tensor
		for k, t := range o.Outputs {
			if k == 0 {
				first = t
			}
			made[t.Index] = len(out)
			lines = append(lines, "= "+t.String())
		}
		out = append(out, newBox(first, from, lines...))
	}
	for _, t := range info.Outputs {
		var from []int
		if f, ok := made[t.Index]; ok {
			from = []int{f}
		}
		out = append(out, newBox(t, from, "output "+t.Name))
	}
	return out
}

// place gives every box its row, one below the lowest that it reads, and its
// place in the row.
func place(boxes []box) (width, height float64) {
	var rows [][]int
	for i := range boxes {
		b := &boxes[i]
		for _, f := range b.from {
			b.row = max(b.row, boxes[f].row+1)
		}
		longest := 0
		for _, l := range b.lines {
			longest = max(longest, len([]rune(l)))
		}
		b.w, b.h = float64(longest)*charWidth+2*boxPad, float64(len(b.lines))*lineHeight+2*boxPad
		for len(rows) <= b.row {
			rows = append(rows, nil)
		}
		rows[b.row] = append(rows[b.row], i)
	}
	widths := make([]float64, len(rows))
	for r, row := range rows {
		for _, i := range row {
			widths[r] += boxes[i].w + gapX
		}
		width = max(width, widths[r])
	}
	middle, y := width+2*bulge, float64(gapY)
	for r, row := range rows {
		slices.SortStableFunc(row, func(a, b int) int { return cmp.Compare(boxes[a].wish(boxes), boxes[b].wish(boxes)) })
		spread(boxes, row, (middle-widths[r]+gapX)/2)
		tall := 0.0
		for _, i := range row {
			boxes[i].y = y
			tall = max(tall, boxes[i].h)
			width = max(width, boxes[i].x+boxes[i].w+2*bulge)
		}
		y += tall + gapY
	}
	return width, y
}

// spread places a row: each box below what it reads, when they all fit so, or
// side by side from left on.
func spread(boxes []box, row []int, left float64) {
	fits, free := true, 0.0
	for _, i := range row {
		b := &boxes[i]
		b.x = b.wish(boxes) - b.w/2
		fits = fits && len(b.from) > 0 && b.x >= free
		free = b.x + b.w + gapX
	}
	if fits {
		return
	}
	for _, i := range row {
		boxes[i].x = left
		left += boxes[i].w + gapX
	}
}

func (b *box) middle() float64 { return b.x + b.w/2 }

// wish is the middle of what the box reads.
func (b *box) wish(boxes []box) float64 {
	if len(b.from) == 0 {
		return 0
	}
	sum := 0.0
	for _, f := range b.from {
		sum += boxes[f].middle()
	}
	return sum / float64(len(b.from))
}

// edge draws what box "to" reads of "from". One that passes rows goes round
// their boxes on the right.
func edge(b *strings.Builder, boxes []box, from, to int) {
	f, t := &boxes[from], &boxes[to]
	x0, y0, x1, y1 := f.middle(), f.y+f.h, t.middle(), t.y
	path := fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x0, y0, x0, y0+gapY/2, x1, y1-gapY/2, x1, y1)
	if t.row > f.row+1 {
		side := 0.0
		for i := range boxes {
			if r := boxes[i].row; r > f.row && r < t.row {
				side = max(side, boxes[i].x+boxes[i].w)
			}
		}
		side += bulge
		path = fmt.Sprintf("M%.1f %.1fQ%.1f %.1f %.1f %.1fL%.1f %.1fQ%.1f %.1f %.1f %.1f",
			x0, y0, side, y0, side, y0+gapY, side, y1-gapY, side, y1-gapY/2, x1+gapX/2, y1)
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#555" marker-end="url(#tip)"/>`+"\n", path)
}

func (b *box) draw(w *strings.Builder) {
	fmt.Fprintf(w, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="5" fill="%s" stroke="#555"/>`+"\n", b.x, b.y, b.w, b.h, b.fill)
	for i, l := range b.lines {
		weight := ""
		if i == 0 {
			weight = ` font-weight="bold"`
		}
		fmt.Fprintf(w, `<text x="%.1f" y="%.1f"%s>`, b.x+boxPad, b.y+boxPad+float64(i+1)*lineHeight-4, weight)
		xml.EscapeText(w, []byte(l)) // a Builder takes everything
		w.WriteString("</text>\n")
	}
}
