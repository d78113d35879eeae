package face

import "image"

// Frames of a camera share the work, and the network runs once in each, or,
// once those who are there have been for a while, in every other. In every other
// run it looks for the face that is known and was looked for longest ago. The
// others search the picture, square after square, and take a first look from
// close by at what may be a face there. Of the squares every other one is of the
// largest, where near faces are: those are what a device is used by, and wait
// least.
const (
	lost  = 3  // looks in a row that saw no face, after which its place is forgotten
	crowd = 16 // places at most
	old   = 24 // looks that saw a face, after which it is no news: 1.6 s at 30 frames/s
)

// spread is how far the work on a camera's frames got.
type spread struct {
	turn, wide, rest int   // runs; squares of the largest size and others, so far
	idle             bool  // the last frame was not looked at
	looked           frame // from close by in this turn; no side: at nothing
}

// share looks at a frame's share of the work, and appends the faces seen.
func (d *Detector) share(img *image.Gray, faces []Face) []Face {
	s := &d.spread
	s.looked = frame{}
	if s.idle = !s.idle && d.settled(); s.idle {
		return faces
	}
	s.turn++
	i := d.due(s.turn%2 == 0)
	if i < 0 {
		d.search(img, s.next(d.views))
		return faces
	}
	p := &d.places[i]
	s.looked = p.close()
	n := len(faces)
	if d.again(img, p) {
		faces = d.accept(img, &p.sighting, faces)
	}
	switch {
	case len(faces) > n:
		p.known, p.missed = true, 0
		p.seen++
		d.alone(i)
	case !p.known || p.missed >= lost:
		d.forget(i)
	}
	return faces
}

// settled tells whether somebody is there, and everybody has been for a while
// and was seen when last looked for.
func (d *Detector) settled() bool {
	for i := range d.places {
		if p := &d.places[i]; p.seen < old || p.missed > 0 {
			return false
		}
	}
	return len(d.places) > 0
}

// next returns the square whose turn it is.
func (s *spread) next(views []frame) frame {
	wide := 1
	for wide < len(views) && views[wide].side == views[0].side {
		wide++
	}
	if rest := views[wide:]; len(rest) > 0 && s.rest < s.wide {
		s.rest++
		return rest[s.rest%len(rest)]
	}
	s.wide++
	return views[s.wide%wide]
}

// due returns the place to look at in a frame, or -1 to search.
func (d *Detector) due(known bool) int {
	best := -1
	for i := range d.places {
		p := &d.places[i]
		if p.known != known || best >= 0 && d.places[best].at <= p.at {
			continue
		}
		best = i
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
// were. What it looked at last is gone with the next picture.
func (d *Detector) Forget() {
	clear(d.places[:cap(d.places)])
	d.places, d.spread = d.places[:0], spread{}
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

// sees tells whether a face in box would have been seen in this turn.
func (s *spread) sees(box image.Rectangle) bool {
	if s.looked.side == 0 {
		return false
	}
	half := s.looked.side / closeUp / 2
	x, y := float64(box.Min.X+box.Max.X)/2, float64(box.Min.Y+box.Max.Y)/2
	return x > s.looked.x-half && x < s.looked.x+half && y > s.looked.y-half && y < s.looked.y+half
}
