package face

import (
	"image"
	"time"
)

// Frames of a camera share the work: in each the network runs once, or not at
// all. It looks for the face that is known and due; takes a first look from close
// by at what may be a face; or searches a square of the picture, where something
// has changed or else now and then. When known faces and the rest both have
// something to do they take turns. A face that came is looked for in every frame
// until it is no chance sight, then in every other, and where it has been for a
// while and is still, four times a second less.
const (
	lost   = 3                      // looks in a row that saw no face, after which its place is forgotten
	crowd  = 16                     // places at most
	chance = 3                      // looks that saw a face, up to which it is new
	old    = 12                     // and from which it is no news
	still  = 0.15                   // of its side that a face may move from look to look
	brisk  = 50 * time.Millisecond  // between looks for a face that is news or moves
	calm   = 120 * time.Millisecond // and for one that is not
	usual  = time.Second / 30       // from picture to picture, where nobody says when they were taken
)

// spread is how far the work on a camera's frames got.
type spread struct {
	taken  time.Time     // when the picture was, as At says
	told   bool          // At said it of the next picture
	now    time.Duration // of the picture, since the first
	runs   int           // of the network
	knew   bool          // the last run was for a known face
	looked frame         // from close by in this picture; no side: at nothing
}

// At says when the next picture was taken; the detector needs it only of
// frames. Without it they are a thirtieth of a second apart.
func (d *Detector) At(taken time.Time) {
	s := &d.spread
	if step := taken.Sub(s.taken); s.taken.IsZero() || step < 0 || step > time.Minute {
		s.now += usual // the first, or a clock that was set
	} else {
		s.now += step
	}
	s.taken, s.told = taken, true
}

// share looks at a frame's share of the work, and appends the faces seen.
func (d *Detector) share(img *image.Gray, faces []Face) []Face {
	s := &d.spread
	if !s.told {
		s.now += usual
	}
	s.told, s.looked = false, frame{}
	d.watch.see(img, s.now, d.places)
	known, fresh, square := d.due(), d.fresh(), -1
	if fresh < 0 {
		square = d.watch.next(d.views, s.now)
	}
	if known < 0 && fresh < 0 && square < 0 {
		return faces
	}
	s.runs++
	s.knew = known >= 0 && !(s.knew && (fresh >= 0 || square >= 0))
	switch {
	case s.knew:
		return d.close(img, known, faces)
	case fresh >= 0:
		return d.close(img, fresh, faces)
	}
	d.watch.looked[square] = s.now
	d.search(img, d.views[square])
	return faces
}

// close looks at a place from close by, and appends the face there.
func (d *Detector) close(img *image.Gray, i int, faces []Face) []Face {
	p := &d.places[i]
	d.spread.looked = p.close()
	n, was := len(faces), p.sighting
	if d.again(img, p) {
		faces = d.accept(img, &p.sighting, faces)
	}
	switch {
	case len(faces) > n:
		p.known, p.missed = true, 0
		p.seen++
		p.moves = !was.near(&p.sighting, still)
		d.alone(i)
	case !p.known && p.score > was.score && p.missed < lost:
		// It was searched for from too far away; another look will tell.
	case !p.known:
		d.forget(i)
	case p.missed >= lost:
		if p.seen > chance {
			// It may be there still, and somebody else may be, and neither would change anything.
			d.watch.touch(was.close(), d.spread.now)
		}
		d.forget(i)
	}
	return faces
}

// due returns the known place that was to be looked at longest ago, or -1.
func (d *Detector) due() int {
	best, most := -1, time.Duration(-1)
	for i := range d.places {
		p := &d.places[i]
		if late := d.spread.now - p.at - p.every(); p.known && late > most {
			best, most = i, late
		}
	}
	return best
}

// every is the time between looks for a known face.
func (p *place) every() time.Duration {
	switch {
	case p.seen < chance:
		return 0
	case p.seen < old || p.missed > 0 || p.moves:
		return brisk
	}
	return calm
}

// fresh returns the place that looks most like a face of those that may be one,
// or -1.
func (d *Detector) fresh() int {
	best := -1
	for i := range d.places {
		if p := &d.places[i]; !p.known && (best < 0 || p.score > d.places[best].score) {
			best = i
		}
	}
	return best
}

// alone forgets the places that are of the same face as place i.
func (d *Detector) alone(i int) {
	p := d.places[i].sighting
	for k := len(d.places) - 1; k >= 0; k-- {
		if k != i && d.places[k].covers(&p) {
			d.forget(k)
			if i == len(d.places) {
				i = k // the last place has moved there
			}
		}
	}
}

// forget drops place i.
func (d *Detector) forget(i int) {
	last := len(d.places) - 1
	d.places[i] = d.places[last]
	d.places = d.places[:last]
}

// Forget drops what a detector remembers of the pictures before: where faces
// were, and how bright it was where. What it looked at last is gone with the next
// picture.
func (d *Detector) Forget() {
	clear(d.places[:cap(d.places)])
	d.places, d.spread = d.places[:0], spread{}
	d.watch.forget()
}

// Adopt takes over what another detector remembers of the pictures before: this
// one goes on with the same camera, perhaps with other options.
func (d *Detector) Adopt(old *Detector) {
	if d.net == nil || old.net == nil || !d.o.Live || !old.o.Live || old.viewed == (image.Point{}) {
		return
	}
	d.view(old.viewed)
	d.places, d.spread = append(d.places, old.places...), old.spread
}

// sees tells whether a face in box would have been seen in this picture.
func (s *spread) sees(box image.Rectangle) bool {
	if s.looked.side == 0 {
		return false
	}
	half := s.looked.side / closeUp / 2
	x, y := float64(box.Min.X+box.Max.X)/2, float64(box.Min.Y+box.Max.Y)/2
	return x > s.looked.x-half && x < s.looked.x+half && y > s.looked.y-half && y < s.looked.y+half
}
