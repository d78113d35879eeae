package face

import (
	"cmp"
	"image"
	"math"
	"slices"
	"time"
)

// How the network looks for faces. It sees those well that take a fifth to
// three quarters of what it looks at, so a picture is looked at in squares of
// several sizes, each two thirds of the one before, that overlap by more than a
// face that only they show well. Whatever may be a face is looked at again from
// close by, turned so that its eyes are level: that look places it, and its
// score and the search's together say whether it is one.
const (
	leastShare = 0.1875 // of a look's side that a face has to take
	shrink     = 1.5    // from one size of squares to the next
	step       = 0.7    // of a square's side: at most so far apart are two
	maybe      = -1.0   // score of the search from which a second look is worth its time
	closeUp    = 3.0    // side of the second look, as a share of the face's
	outer      = 0.05   // of its side that a face may be outside of the picture
)

// views appends the squares to look at in a picture of w by h pixels so that no
// face from least pixels on is missed, the largest squares first.
func views(w, h, least int, out []frame) []frame {
	for side := float64(min(w, h)); ; side /= shrink {
		nx, ny := across(float64(w), side), across(float64(h), side)
		for y := range ny {
			for x := range nx {
				out = append(out, frame{x: middle(x, nx, float64(w), side), y: middle(y, ny, float64(h), side), side: side})
			}
		}
		if side*leastShare <= float64(least) {
			return out
		}
	}
}

// across returns how many squares lie side by side in n pixels.
func across(n, side float64) int { return 1 + int(math.Ceil((n-side)/(step*side)-1e-9)) }

// middle returns the centre of square i of count in n pixels.
func middle(i, count int, n, side float64) float64 {
	at := (n - side) / 2
	if count > 1 {
		at = float64(i) * (n - side) / float64(count-1)
	}
	return at + (side-1)/2
}

// place is where a face may be.
type place struct {
	sighting
	known  bool          // for a face
	missed int           // looks in a row that saw none
	seen   int           // looks that saw it
	moves  bool          // between the last two looks
	at     time.Duration // of the last look
}

// detect is Detect with the network.
func (d *Detector) detect(img *image.Gray, faces []Face) []Face {
	d.corner = img.Rect.Min
	if s := img.Rect.Size(); s != d.viewed {
		if min(s.X, s.Y) < smallest {
			return faces
		}
		d.view(s)
	}
	if d.o.Live {
		return d.share(img, faces)
	}
	d.places = d.places[:0]
	for _, v := range d.views {
		d.search(img, v)
	}
	keep := d.places[:0]
	for _, p := range d.places {
		if d.again(img, &p) {
			keep = append(keep, p)
		}
	}
	d.places = separate(keep)
	n := len(faces)
	for i := range d.places {
		if len(faces)-n < d.o.MaxFaces {
			faces = d.accept(img, &d.places[i].sighting, faces)
		}
	}
	return faces
}

// view prepares for pictures of another size.
func (d *Detector) view(size image.Point) {
	// A face as small as MinSize may be measured a little larger or smaller.
	d.viewed, d.views = size, views(size.X, size.Y, d.o.MinSize*10/9, d.views[:0])
	d.places, d.spread = d.places[:0], spread{}
	if d.o.Live {
		d.watch.begin(size, len(d.views))
	}
}

// search looks at a square and adds to d.places what may be a face there.
func (d *Detector) search(img *image.Gray, v frame) {
	for _, s := range d.net.look(img, v, maybe) {
		i := 0
		for i < len(d.places) && !d.places[i].covers(&s) {
			i++
		}
		switch {
		case i == len(d.places) && (i < crowd || !d.o.Live):
			d.places = append(d.places, place{sighting: s, at: d.spread.now})
		case i < len(d.places) && !d.places[i].known && d.places[i].score < s.score:
			d.places[i].sighting = s
		}
	}
}

// covers tells whether two sightings are of one face: one's centre is within
// the other.
func (s *sighting) covers(t *sighting) bool { return s.near(t, 0.5) }

// near tells whether the centres of two sightings are that near to each other, as
// a share of the larger side.
func (s *sighting) near(t *sighting, share float64) bool {
	return max(math.Abs(s.x-t.x), math.Abs(s.y-t.y)) < share*max(s.side, t.side)
}

// again looks at a place from close by. If a face is there, it is placed anew,
// and its score is the mean of the one before and this look's, so that a face
// has to look like one time and again.
func (d *Detector) again(img *image.Gray, p *place) bool {
	p.at = d.spread.now
	p.missed++
	seen := d.net.look(img, p.close(), maybe)
	for i := range seen {
		if s := &seen[i]; p.covers(s) {
			s.score = (s.score + p.score) / 2
			p.sighting = *s
			return true
		}
	}
	return false
}

// close returns the square of a look from close by.
func (s *sighting) close() frame { return frame{s.x, s.y, closeUp * s.side, s.tilt()} }

// separate drops places that a better one covers, and sorts by size.
func separate(ps []place) []place {
	slices.SortStableFunc(ps, func(a, b place) int { return cmp.Compare(b.score, a.score) })
	keep := ps[:0]
next:
	for _, p := range ps {
		for i := range keep {
			if keep[i].covers(&p.sighting) {
				continue next
			}
		}
		keep = append(keep, p)
	}
	slices.SortStableFunc(keep, func(a, b place) int { return cmp.Compare(b.side, a.side) })
	return keep
}

// The network's score of a face on pigo's scale, so that DefaultScore and
// SureScore mean the same with both: a face is one from a logit of sureness on.
const (
	sureness = 0.55
	stretch  = 4
	farness  = 0.1 // of a logit that a small face needs more
	lying    = 0.3 // and one that is tilted so far that few faces are, and many folds and patches
	steep    = 35  // degrees, from which it is
	small    = 90  // pixels, below which it is small
)

// accept appends the face of a sighting to faces, if it is one.
func (d *Detector) accept(img *image.Gray, s *sighting, faces []Face) []Face {
	w := s.window()
	sure := s.score - sureness
	if w.size < small {
		sure -= farness
	}
	if math.Abs(w.angle) > steep {
		sure -= lying
	}
	w.score = DefaultScore + stretch*float32(sure)
	if w.score < d.o.MinScore || !w.inside(img) || w.size < float64(d.o.MinSize) || d.o.MaxSize > 0 && w.size > float64(d.o.MaxSize) {
		return faces
	}
	return append(faces, d.eyes(img, s, w))
}

// eyes measures the eyes of a sighting whose window is w: by the eye net, and
// where the pupils' cascade sees them by the middle between the two.
func (d *Detector) eyes(img *image.Gray, s *sighting, w window) Face {
	f := Face{Score: w.score, Angle: w.angle, Eyes: true}
	f.Left, f.Right, f.Doubt = d.eyeNet.look(img, w)
	if l, r, ok := d.pupils.near(img, s.points[faceEyeOne], s.points[faceEyeTwo], w); ok {
		f.Left, f.Right = between(f.Left, l), between(f.Right, r)
	}
	f.settle(img, w)
	return f
}

// between is the middle of two points.
func between(a, b Point) Point { return Point{(a.X + b.X) / 2, (a.Y + b.Y) / 2} }

// A window of the cascade stands in the network's box like this on faces that
// both see: medians, as shares of the box's side.
const (
	windowSide = 1.12  // its side
	windowRise = 0.079 // of its own side that its centre is below the eyes' middle
)

// window returns what the cascade would call the face: training, framing and
// the pupils' cascade go by that.
func (s *sighting) window() window {
	tilt := s.tilt()
	t := turnOf(tilt)
	w := window{size: windowSide * s.side, score: float32(s.score), angle: tilt}
	ex, ey := (s.points[faceEyeOne].X+s.points[faceEyeTwo].X)/2, (s.points[faceEyeOne].Y+s.points[faceEyeTwo].Y)/2
	// Along the face the eyes say where it is, across it the box does as well:
	// a face turned away has its eyes' middle off its own.
	_, aside := turnOf(-tilt).by(s.y-ey, s.x-ex)
	dy, dx := t.by(windowRise*w.size, aside/2)
	w.row, w.col = ey+dy, ex+dx
	return w
}

// inside tells whether a window is in the picture, but for a sliver.
func (w *window) inside(img *image.Gray) bool {
	half := (0.5 - outer) * w.size
	return w.row-half >= 0 && w.col-half >= 0 && w.row+half <= float64(img.Rect.Dy()) && w.col+half <= float64(img.Rect.Dx())
}
