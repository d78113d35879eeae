package filter

import "math"

// The descriptor's measures, in pixels, cells and blocks.
const (
	hogCell  = 6
	hogCells = side / hogCell
	hogEdge  = hogCells * hogCell // cells begin at the top left; what is beyond is in none
	hogBins  = 9
	hogBlock = 2
	hogTile  = hogBlock * 3                               // pixels of a block in the picture that is made
	hogFrom  = (side - (hogCells-hogBlock+1)*hogTile) / 2 // where the first lies
	hogClip  = 0.2
	hogTiny  = 1e-5
)

type hog struct {
	cos, sin [hogBins]float32 // of the beginning of each bin
	cells    [hogCells][hogCells][hogBins]float32
}

func newHOG() func(dst, src *[pixels]uint8) {
	h := &hog{}
	for k := range h.cos {
		s, c := math.Sincos(float64(k) * math.Pi / hogBins)
		h.cos[k], h.sin[k] = float32(c), float32(s)
	}
	return h.apply
}

func (h *hog) apply(dst, src *[pixels]uint8) {
	h.count(src)
	clear(dst[:])
	for y := range hogCells - hogBlock + 1 {
		for x := range hogCells - hogBlock + 1 {
			h.block(dst[(hogFrom+y*hogTile)*side+hogFrom+x*hogTile:], y, x)
		}
	}
}

// count adds up the strength of the gradients of each cell by their direction,
// which is one of half a turn. A pixel at the border has no gradient across it.
func (h *hog) count(src *[pixels]uint8) {
	clear(h.cells[:])
	for y := range hogEdge {
		for x := range hogEdge {
			var gx, gy int
			if x > 0 {
				gx = int(src[y*side+x+1]) - int(src[y*side+x-1])
			}
			if y > 0 {
				gy = int(src[(y+1)*side+x]) - int(src[(y-1)*side+x])
			}
			if gx == 0 && gy == 0 {
				continue
			}
			strength := float32(math.Sqrt(float64(gx*gx + gy*gy)))
			h.cells[y/hogCell][x/hogCell][h.bin(gx, gy)] += float32(strength / (hogCell * hogCell))
		}
	}
}

// bin returns the ninth of half a turn that a direction lies in.
func (h *hog) bin(gx, gy int) int {
	if gy < 0 {
		gx, gy = -gx, -gy
	}
	if gy == 0 {
		return 0
	}
	k := 0
	for k+1 < hogBins && float32(float32(gy)*h.cos[k+1]) >= float32(float32(gx)*h.sin[k+1]) {
		k++
	}
	return k
}

// block writes the block whose first cell is at row y and column x.
func (h *hog) block(dst []uint8, y, x int) {
	var all [hogBlock][hogBlock][hogBins]float32
	for r := range all {
		for c := range all[r] {
			all[r][c] = h.cells[y+r][x+c]
		}
	}
	scale := func() {
		sum := float32(hogTiny * hogTiny)
		for r := range all {
			for c := range all[r] {
				for _, v := range all[r][c] {
					sum += float32(v * v)
				}
			}
		}
		norm := 1 / float32(math.Sqrt(float64(sum)))
		for r := range all {
			for c := range all[r] {
				for k := range all[r][c] {
					all[r][c][k] *= norm
				}
			}
		}
	}
	scale()
	for r := range all {
		for c := range all[r] {
			for k, v := range all[r][c] {
				all[r][c][k] = min(v, hogClip)
			}
		}
	}
	scale()
	for r := range all {
		for c := range all[r] {
			for k, v := range all[r][c] {
				dst[(r*3+k/3)*side+c*3+k%3] = level(255 * float32(math.Sqrt(float64(v))))
			}
		}
	}
}
