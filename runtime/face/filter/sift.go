package filter

import "math"

// The measures of the descriptors, in pixels and cells.
const (
	siftCell  = 4
	siftWidth = 4 // cells of a descriptor each way
	siftBins  = 8
	siftGrid  = 4 // descriptors each way
	siftStep  = 11
	siftTile  = siftWidth * 3
	siftFrom  = (side - siftGrid*siftTile) / 2
	siftReach = 14                       // round(siftCell * sqrt(2) * (siftWidth+1) / 2)
	siftFirst = siftCell * siftWidth / 2 // middle of the first descriptor
	siftBlur  = 1.52                     // of the first picture of Lowe's pyramid: sqrt(1.6^2 - 0.5^2)
	siftClip  = 0.2
	siftGain  = 512 // levels of a descriptor whose length is 1, which cuts off what is above half of it
)

// compass are the places of the directions in a cell, anticlockwise from the
// east.
var compass = [siftBins][2]int{{2, 1}, {2, 0}, {1, 0}, {0, 0}, {0, 1}, {0, 2}, {1, 2}, {2, 2}}

type sift struct {
	blur     blur
	smooth   [pixels]float32
	strength [pixels]float32
	turn     [pixels]float32                                 // direction, in bins
	weight   [2*siftReach + 1][2*siftReach + 1]float32       // of a pixel, by its way from the middle
	hist     [siftWidth + 2][siftWidth + 2][siftBins]float32 // with a border for what lies outside
	values   [siftWidth * siftWidth * siftBins]float32       // of the descriptor, in its published order
}

func newSIFT() func(dst, src *[pixels]uint8) {
	s := &sift{blur: newBlur(siftBlur, 4)}
	for y := range s.weight {
		for x := range s.weight {
			r, c := float64(y-siftReach)/siftCell, float64(x-siftReach)/siftCell
			s.weight[y][x] = float32(math.Exp(-(r*r + c*c) / (siftWidth * siftWidth / 2)))
		}
	}
	return s.apply
}

func (s *sift) apply(dst, src *[pixels]uint8) {
	for i, v := range src {
		s.smooth[i] = float32(v)
	}
	s.blur.apply(&s.smooth)
	s.gradients()
	clear(dst[:])
	for y := range siftGrid {
		for x := range siftGrid {
			s.describe(siftFirst+y*siftStep, siftFirst+x*siftStep)
			s.draw(dst[(siftFrom+y*siftTile)*side+siftFrom+x*siftTile:])
		}
	}
}

// gradients sets strength and direction of each pixel that is not at the border.
func (s *sift) gradients() {
	for y := 1; y < side-1; y++ {
		for x := 1; x < side-1; x++ {
			i := y*side + x
			dx, dy := float64(s.smooth[i+1]-s.smooth[i-1]), float64(s.smooth[i-side]-s.smooth[i+side])
			s.strength[i] = float32(math.Sqrt(float64(dx*dx) + float64(dy*dy)))
			turn := math.Atan2(dy, dx) * (siftBins / (2 * math.Pi))
			if turn < 0 {
				turn += siftBins
			}
			s.turn[i] = float32(turn)
		}
	}
}

// describe sets values to the descriptor about a pixel. Each pixel counts for
// the cells and directions beside it by how near it is to them.
func (s *sift) describe(row, col int) {
	clear(s.hist[:])
	const half = siftWidth/2 - 0.5
	for i := max(-siftReach, 1-row); i <= min(siftReach, side-2-row); i++ {
		r := float32(i)/siftCell + half
		if r <= -1 || r >= siftWidth {
			continue
		}
		for j := max(-siftReach, 1-col); j <= min(siftReach, side-2-col); j++ {
			c := float32(j)/siftCell + half
			if c <= -1 || c >= siftWidth {
				continue
			}
			at := (row+i)*side + col + j
			s.spread(r+1, c+1, s.turn[at], float32(s.strength[at]*s.weight[i+siftReach][j+siftReach]))
		}
	}
	var sum float32
	n := 0
	for r := 1; r <= siftWidth; r++ {
		for c := 1; c <= siftWidth; c++ {
			for _, v := range s.hist[r][c] {
				s.values[n] = v
				sum += float32(v * v)
				n++
			}
		}
	}
	most := float32(siftClip * math.Sqrt(float64(sum)))
	sum = 0
	for i, v := range s.values {
		s.values[i] = min(v, most)
		sum += float32(s.values[i] * s.values[i])
	}
	gain := siftGain / max(float32(math.Sqrt(float64(sum))), 1e-7)
	for i := range s.values {
		s.values[i] *= gain
	}
}

// spread adds v to the two rows, columns and directions beside a place; rows and
// columns are counted from the border of hist.
func (s *sift) spread(r, c, turn, v float32) {
	r0, c0, k0 := int(r), int(c), int(turn)
	fr, fc, fk := r-float32(r0), c-float32(c0), turn-float32(k0)
	for i, vr := range [2]float32{float32(v * (1 - fr)), float32(v * fr)} {
		for j, vc := range [2]float32{float32(vr * (1 - fc)), float32(vr * fc)} {
			bins := &s.hist[r0+i][c0+j]
			bins[k0%siftBins] += float32(vc * (1 - fk))
			bins[(k0+1)%siftBins] += float32(vc * fk)
		}
	}
}

// draw writes the descriptor.
func (s *sift) draw(dst []uint8) {
	for i, v := range s.values {
		cell, at := i/siftBins, compass[i%siftBins]
		dst[(cell/siftWidth*3+at[1])*side+cell%siftWidth*3+at[0]] = level(v)
	}
}
