package face

import (
	_ "embed"
	"fmt"
	"image"
	"math"
	"slices"

	"mien/runtime/graph"
	"mien/runtime/graph/flatfile"
	"mien/runtime/portable"
)

//go:embed network/blazeface.tflite
var networkFile []byte

// What BlazeFace of short range is (Bazarevsky et al. 2019, arXiv 1907.05047;
// MediaPipe's published graph): 896 anchors, two at each place of a 16x16 grid
// and six at each of an 8x8 grid. Each has a score and 16 values in pixels of
// the input: the box's centre from the anchor's place, its width and height,
// and from the same place x and y of six points of the face.
const (
	inputSide  = 128
	anchors    = 16*16*2 + 8*8*6
	perAnchor  = 16
	faceEyeOne = 0 // the six points: the eye that is left in the picture, the other,
	faceEyeTwo = 1 // the nose's tip, the mouth's middle, the two ears
	faceNose   = 2
	faceMouth  = 3
	facePoints = 6
)

// sighting is a face as the network sees it, in the coordinates of what it
// looked at and later in those of the picture, counted from its corner.
type sighting struct {
	x, y, side float64 // the network's box
	points     [facePoints]Point
	score      float64 // a logit: 0 is as likely as not
}

// network is BlazeFace in a session of its own.
type network struct {
	session        *portable.Session
	input          image.Gray // what it looks at
	in             []float32
	scores, values []float32
	places         [anchors]Point
	shade          [256]float32 // an input's value by grey level
	hits, merged   []sighting
}

func newNetwork(file []byte) (*network, error) {
	g, err := flatfile.Unmarshal(file)
	if err != nil {
		return nil, fmt.Errorf("face: the finder's network: %w", err)
	}
	scores, values := -1, -1
	for _, t := range g.Outputs {
		switch {
		case slices.Equal(g.Tensors[t].Shape, []int{1, anchors, 1}):
			scores = t
		case slices.Equal(g.Tensors[t].Shape, []int{1, anchors, perAnchor}):
			values = t
		}
	}
	if len(g.Inputs) != 1 || !slices.Equal(g.Tensors[g.Inputs[0]].Shape, []int{1, inputSide, inputSide, 1}) || scores < 0 || values < 0 {
		return nil, fmt.Errorf("face: the finder's network is not BlazeFace for a grey picture of %dx%d", inputSide, inputSide)
	}
	for _, t := range []int{g.Inputs[0], scores, values} {
		if g.Tensors[t].Type != graph.Float32 {
			return nil, fmt.Errorf("face: the finder's network has a tensor of %v, want float32", g.Tensors[t].Type)
		}
	}
	net, err := portable.Load(g, portable.Options{})
	if err != nil {
		return nil, fmt.Errorf("face: the finder's network: %w", err)
	}
	s := net.NewSession()
	n := &network{
		session: s, input: *image.NewGray(image.Rect(0, 0, inputSide, inputSide)),
		in: s.Float32(g.Inputs[0]), scores: s.Float32(scores), values: s.Float32(values),
		hits: make([]sighting, 0, anchors), merged: make([]sighting, 0, 64),
	}
	for i := range n.shade {
		n.shade[i] = float32(i)/127.5 - 1
	}
	i := 0
	for _, grid := range []struct{ side, each int }{{16, 2}, {8, 6}} {
		for y := range grid.side {
			for x := range grid.side {
				for range grid.each {
					n.places[i] = Point{(float64(x) + 0.5) / float64(grid.side), (float64(y) + 0.5) / float64(grid.side)}
					i++
				}
			}
		}
	}
	return n, nil
}

// look returns the faces in a square of img that score at least least, the
// best first. They are valid until the next look.
func (n *network) look(img *image.Gray, at frame, least float64) []sighting {
	sampleUpTo(&n.input, img, at, 2)
	for i, v := range n.input.Pix {
		n.in[i] = n.shade[v]
	}
	n.session.Run()
	n.hits = n.hits[:0]
	for i, s := range n.scores {
		if float64(s) >= least {
			n.hits = append(n.hits, n.decode(i))
		}
	}
	n.merge()
	for i := range n.merged {
		n.merged[i].place(at)
	}
	return n.merged
}

// decode returns what an anchor sees, as shares of the input's side.
func (n *network) decode(i int) sighting {
	v := n.values[i*perAnchor:][:perAnchor]
	p := n.places[i]
	s := sighting{
		x: float64(v[0])/inputSide + p.X, y: float64(v[1])/inputSide + p.Y,
		side: float64(v[2]+v[3]) / 2 / inputSide, score: float64(n.scores[i]),
	}
	for k := range s.points {
		s.points[k] = Point{float64(v[4+2*k])/inputSide + p.X, float64(v[5+2*k])/inputSide + p.Y}
	}
	return s
}

// same is the overlap from which two boxes of one look are the same face's.
const same = 0.3

// merge joins the hits of one face: the best gathers those that overlap it, and
// the face is their mean weighted by how likely they are.
func (n *network) merge() {
	n.merged = n.merged[:0]
	slices.SortStableFunc(n.hits, func(a, b sighting) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	for i := range n.hits {
		best := &n.hits[i]
		if best.side <= 0 {
			continue // gathered, or none
		}
		out, sum := sighting{score: best.score}, 0.0
		seed := *best
		for k := i; k < len(n.hits); k++ {
			h := &n.hits[k]
			if h.side <= 0 || h.overlap(&seed) < same {
				continue
			}
			w := 1 / (1 + math.Exp(-h.score))
			out.x, out.y, out.side = out.x+w*h.x, out.y+w*h.y, out.side+w*h.side
			for j := range out.points {
				out.points[j].X += w * h.points[j].X
				out.points[j].Y += w * h.points[j].Y
			}
			sum += w
			h.side = 0
		}
		out.x, out.y, out.side = out.x/sum, out.y/sum, out.side/sum
		for j := range out.points {
			out.points[j].X /= sum
			out.points[j].Y /= sum
		}
		n.merged = append(n.merged, out)
	}
}

// overlap returns the intersection of two boxes over their union.
func (s *sighting) overlap(t *sighting) float64 {
	side := func(p, q float64) float64 {
		return max(0, min(p+s.side/2, q+t.side/2)-max(p-s.side/2, q-t.side/2))
	}
	i := side(s.x, t.x) * side(s.y, t.y)
	return i / (s.side*s.side + t.side*t.side - i)
}

// place moves a sighting from the shares of a frame to the picture.
func (s *sighting) place(on frame) {
	t := turnOf(on.turn)
	move := func(x, y float64) Point {
		dy, dx := t.by((y-0.5)*on.side, (x-0.5)*on.side)
		return Point{on.x + dx, on.y + dy}
	}
	p := move(s.x, s.y)
	s.x, s.y, s.side = p.X, p.Y, s.side*on.side
	for i, q := range s.points {
		s.points[i] = move(q.X, q.Y)
	}
}

// tilt returns the tilt of the line through the eyes in degrees.
func (s *sighting) tilt() float64 {
	a, b := s.points[faceEyeOne], s.points[faceEyeTwo]
	return math.Atan2(b.Y-a.Y, b.X-a.X) * 180 / math.Pi
}
