package face

import (
	"image"
	"math"
	"slices"
	"time"
)

// A watch knows where a camera's picture has changed: a face that was not there
// cannot come without that. The picture is a grid of cells; a cell has changed
// when its brightness, against the whole picture's, is that far from what it was
// when it last changed, so that slow changes add up, noise does not, and a lamp
// or the camera's own exposure changes nothing.
const (
	cellsHigh  = 30   // cells in the shorter side
	cellRows   = 4    // rows and columns of pixels that stand for a cell
	cellCols   = 8    //
	otherwise  = 8    // grey levels; noise of a standard deviation of 10 moves a cell by 1.8
	leastCells = 0.01 // share of a square's cells that has to change to be worth a look, and three at least
)

// never is when something was that has not been.
const never = -time.Hour

type watch struct {
	side, nx, ny int             // of a cell in pixels; cells
	began        bool            // a picture was seen
	grey, was    []int           // brightness now, and when it last changed, against the picture's; sums over a cell's pixels
	changed      []time.Duration // when it last changed
	looked       []time.Duration // when each square was looked at
}

// begin makes the watch ready for pictures of that size, of which so many squares
// are looked at, and for which everything is new.
func (w *watch) begin(size image.Point, squares int) {
	w.side = max(min(size.X, size.Y)/cellsHigh, cellCols)
	w.nx, w.ny = size.X/w.side, size.Y/w.side
	n := w.nx * w.ny
	w.grey, w.was, w.changed = make([]int, n), make([]int, n), make([]time.Duration, n)
	w.looked = make([]time.Duration, squares)
	w.forget()
}

// forget makes everything new.
func (w *watch) forget() {
	w.began = false
	clear(w.grey)
	clear(w.was)
	clear(w.changed)
	for i := range w.looked {
		w.looked[i] = never
	}
}

// see takes in a picture. Where the places of known faces are nothing is news.
func (w *watch) see(img *image.Gray, now time.Duration, known []place) {
	if len(w.grey) == 0 {
		return
	}
	sum := 0
	dx, dy := w.side/cellCols, w.side/cellRows
	for cy := range w.ny {
		cells := w.grey[cy*w.nx:][:w.nx]
		clear(cells)
		for r := range cellRows {
			row := img.Pix[(cy*w.side+dy/2+r*dy)*img.Stride:]
			at := dx / 2
			for cx := range cells {
				p := row[at : at+(cellCols-1)*dx+1]
				v := 0
				for k := 0; k < len(p); k += dx {
					v += int(p[k])
				}
				cells[cx] += v
				at += w.side
			}
		}
		for _, v := range cells {
			sum += v
		}
	}
	mean := sum / len(w.grey)
	for i, v := range w.grey {
		v -= mean
		d := v - w.was[i]
		if !w.began || max(d, -d) > otherwise*cellRows*cellCols && !w.hidden(i, known) {
			w.was[i], w.changed[i] = v, now
		}
	}
	w.began = true
}

// hidden tells whether a cell is where a known face is.
func (w *watch) hidden(i int, known []place) bool {
	x, y := (float64(i%w.nx)+0.5)*float64(w.side), (float64(i/w.nx)+0.5)*float64(w.side)
	return slices.ContainsFunc(known, func(p place) bool {
		return p.known && math.Abs(x-p.x) < 0.75*p.side && math.Abs(y-p.y) < 0.75*p.side
	})
}

// touch says that what is in a square is news.
func (w *watch) touch(f frame, now time.Duration) {
	r := w.cells(f)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			w.changed[y*w.nx+x] = now
		}
	}
}

// cells returns the cells whose middle is in a square.
func (w *watch) cells(f frame) image.Rectangle {
	cell := func(v float64) int { return int(math.Floor(v/float64(w.side) + 0.5)) }
	return image.Rect(cell(f.x-f.side/2), cell(f.y-f.side/2), cell(f.x+f.side/2), cell(f.y+f.side/2)).Intersect(image.Rect(0, 0, w.nx, w.ny))
}

// When a square is looked at.
const (
	pause  = 120 * time.Millisecond // not sooner after the last look
	urgent = 500 * time.Millisecond // from which waiting no longer adds to its urgency
	round  = 330 * time.Millisecond // between looks where nothing has changed, so that what was missed is found yet
)

// next returns the square to look at, or -1: where most has changed and longest
// waits, larger squares before smaller ones; where nothing has, the one that was
// looked at longest ago.
func (w *watch) next(squares []frame, now time.Duration) int {
	best, most := -1, 0.0
	oldest, latest := 0, never
	for i, f := range squares {
		wait := now - w.looked[i]
		latest = max(latest, w.looked[i])
		if w.looked[i] < w.looked[oldest] {
			oldest = i
		}
		if wait < pause {
			continue
		}
		r := w.cells(f)
		n := w.since(r, w.looked[i])
		if n < 3 || float64(n) < leastCells*float64(r.Dx()*r.Dy()) {
			continue
		}
		if gain := float64(n) * float64(min(wait, urgent)) / f.side; gain > most {
			best, most = i, gain
		}
	}
	if best < 0 && now-latest >= round {
		best = oldest
	}
	return best
}

// since counts the cells of r that changed after a time.
func (w *watch) since(r image.Rectangle, then time.Duration) (n int) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for _, at := range w.changed[y*w.nx+r.Min.X : y*w.nx+r.Max.X] {
			if at > then {
				n++
			}
		}
	}
	return n
}
