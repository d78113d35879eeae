package face

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"image"
	"math"
)

//go:embed cascade/facefinder
var finderFile []byte

// depth of a tree of the finder's cascade, and what follows from it.
const (
	depth  = 6
	leaves = 1 << depth
)

// finder is a cascade of decision trees that tells a face from anything else.
// A node compares two pixels of the window; their places are in 1/256 of the
// window's size from its centre.
type finder struct {
	nodes  [][leaves][4]int8 // row, column of one pixel, then of the other; node 0 is unused
	leaf   [][leaves]float32
	reject []float32 // a window whose sum is at or below this after the tree is no face
}

// parseFinder reads a cascade in pico's format: 8 bytes of no interest, the
// depth of the trees, their number; then for each tree its nodes, leaves and
// threshold. Numbers are little-endian.
func parseFinder(b []byte) (*finder, error) {
	const header, tree = 16, 4*(leaves-1) + 4*leaves + 4
	if len(b) < header {
		return nil, fmt.Errorf("face: the finder's cascade is cut: %d bytes", len(b))
	}
	d, n := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	if d != depth {
		return nil, fmt.Errorf("face: the finder's cascade has trees of depth %d, want %d", d, depth)
	}
	if n == 0 || uint64(len(b)) != header+uint64(n)*tree {
		return nil, fmt.Errorf("face: the finder's cascade has %d bytes, which is not what its %d trees take", len(b), n)
	}
	f := &finder{nodes: make([][leaves][4]int8, n), leaf: make([][leaves]float32, n), reject: make([]float32, n)}
	b = b[header:]
	for t := range f.nodes {
		for i := 1; i < leaves; i++ {
			for k := range 4 {
				f.nodes[t][i][k] = int8(b[k])
			}
			b = b[4:]
		}
		for i := range leaves {
			f.leaf[t][i] = math.Float32frombits(binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
		f.reject[t] = math.Float32frombits(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	return f, nil
}

// window is a place that may be a face.
type window struct {
	row, col, size float64 // centre and side in pixels
	score          float32
	angle          float64 // degrees, clockwise
}

// lens places a cascade's nodes in a picture: for one window size, tilt and
// stride, seen as it is or mirrored.
type lens struct {
	size, stride int
	angle        float64 // degrees, clockwise
	mirror       bool
	sin, cos     int // times 65536 and the size
}

func newLens(size, stride int, angle float64, mirror bool) lens {
	sin, cos := math.Sincos(angle * math.Pi / 180)
	return lens{size, stride, angle, mirror, int(math.Round(sin*65536)) * size, int(math.Round(cos*65536)) * size}
}

// at returns how far from the window's centre pixel a node's pixel is in
// memory. For an upright window that is what pico computes.
func (l *lens) at(r, c int8) int {
	row, col := int(r), int(c)
	if l.mirror {
		col = -col
	}
	return (l.cos*row+l.sin*col)>>24*l.stride + (l.cos*col-l.sin*row)>>24
}

// A table has the first trees of the cascade through a lens, worked out
// beforehand. Nineteen windows of twenty get no further.
const tabled = 48

type table struct {
	lens
	offs [][leaves][2]int32
}

func (f *finder) table(l lens) *table {
	t := &table{l, make([][leaves][2]int32, min(tabled, len(f.nodes)))}
	for i := range t.offs {
		for k := 1; k < leaves; k++ {
			n := &f.nodes[i][k]
			t.offs[i][k] = [2]int32{int32(l.at(n[0], n[1])), int32(l.at(n[2], n[3]))}
		}
	}
	return t
}

// bit is 1 if a <= b, else 0, without a branch that nobody could predict.
func bit(a, b byte) int { return int(uint32(int32(a)-int32(b)-1) >> 31) }

// score runs the cascade over the window whose centre is pix[centre]. It is
// above 0 for a face. Every pixel of the window must be in pix.
func (f *finder) score(pix []byte, centre int, t *table) float32 {
	var sum float32
	for i := range t.offs {
		offs := &t.offs[i]
		k := 1
		for range depth {
			o := &offs[k&(leaves-1)]
			k = 2*k + bit(pix[centre+int(o[0])], pix[centre+int(o[1])])
		}
		sum += f.leaf[i][k&(leaves-1)]
		if sum <= f.reject[i] {
			return -1
		}
	}
	return f.finish(pix, centre, &t.lens, len(t.offs), sum)
}

// finish goes on from a tree, with the sum of those before it.
func (f *finder) finish(pix []byte, centre int, l *lens, from int, sum float32) float32 {
	for i := from; i < len(f.nodes); i++ {
		nodes := &f.nodes[i]
		k := 1
		for range depth {
			n := &nodes[k&(leaves-1)]
			k = 2*k + bit(pix[centre+l.at(n[0], n[1])], pix[centre+l.at(n[2], n[3])])
		}
		sum += f.leaf[i][k&(leaves-1)]
		if sum <= f.reject[i] {
			return -1
		}
	}
	return sum - f.reject[len(f.reject)-1]
}

// reach returns how far from its centre a tilted window of that size goes, in
// pixels, with one to spare.
func reach(size int, angle float64) int {
	if angle == 0 {
		return size/2 + 1
	}
	sin, cos := math.Sincos(angle * math.Pi / 180)
	return int(math.Ceil(float64(size)/2*(math.Abs(sin)+math.Abs(cos)))) + 2
}

// scan appends the windows of img in which the cascade sees a face of that
// tilt. Rows and columns count from the corner of img.
func (d *Detector) scan(img *image.Gray, angle float64, hits []window) []window {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	largest := min(w, h)
	if d.o.MaxSize > 0 {
		largest = min(largest, d.o.MaxSize)
	}
	for size := d.o.MinSize; size <= largest; size = grown(size, d.o.Grow) {
		margin := reach(size, angle)
		if 2*margin > largestSide(w, h) {
			break
		}
		t := d.tableFor(size, img.Stride, angle)
		step := max(int(d.o.Step*float64(size)), 1)
		for row := margin; row <= h-margin; row += step {
			for col := margin; col <= w-margin; col += step {
				if q := d.finder.score(img.Pix, row*img.Stride+col, t); q > 0 {
					hits = append(hits, window{float64(row), float64(col), float64(size), q, angle})
				}
			}
		}
	}
	return hits
}

func largestSide(w, h int) int { return max(w, h) }

// grown returns the next window size. It grows by two pixels at least.
func grown(size int, by float64) int {
	return int(float64(size) + max(2, float64(size)*by-float64(size)))
}

// tableFor returns a table from those of earlier pictures, or makes it.
func (d *Detector) tableFor(size, stride int, angle float64) *table {
	if len(d.tables) > 0 && d.tables[0].stride != stride {
		d.tables = nil
	}
	for _, t := range d.tables {
		if t.size == size && t.angle == angle {
			return t
		}
	}
	t := d.finder.table(newLens(size, stride, angle, false))
	d.tables = append(d.tables, t)
	return t
}

// cluster joins windows of the same face, appends one window each and uses up
// hits. The best window gathers those that overlap it by more than a fifth;
// the face is their mean weighted by score, and its score their sum.
func cluster(hits, faces []window) []window {
	for {
		best := -1
		for i := range hits {
			if hits[i].score > 0 && (best < 0 || hits[i].score > hits[best].score) {
				best = i
			}
		}
		if best < 0 {
			return faces
		}
		seed := hits[best]
		f := window{angle: seed.angle}
		var sum float64
		for i := range hits {
			if hits[i].score <= 0 || overlap(seed, hits[i]) <= 0.2 {
				continue
			}
			q := float64(hits[i].score)
			f.row += q * hits[i].row
			f.col += q * hits[i].col
			f.size += q * hits[i].size
			sum += q
			hits[i].score = 0
		}
		f.row, f.col, f.size, f.score = f.row/sum, f.col/sum, f.size/sum, float32(sum)
		faces = append(faces, f)
	}
}

// overlap returns the intersection of two windows over their union.
func overlap(a, b window) float64 {
	side := func(p, ps, q, qs float64) float64 {
		return max(0, min(p+ps/2, q+qs/2)-max(p-ps/2, q-qs/2))
	}
	i := side(a.row, a.size, b.row, b.size) * side(a.col, a.size, b.col, b.size)
	return i / (a.size*a.size + b.size*b.size - i)
}
