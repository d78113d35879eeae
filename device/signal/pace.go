package signal

import "time"

// Pace knows how fast frames come: it is told of each.
type Pace struct {
	last time.Time
	gaps [4]time.Duration // the newest first
}

// Bounds of slow cameras: of one that is faster than two frames a second
// nothing needs to be known, and slower than one in ten seconds none may be.
const (
	slowGap = 500 * time.Millisecond
	longGap = 10 * time.Second
)

// Frame tells p of a frame.
func (p *Pace) Frame(now time.Time) {
	if gap := now.Sub(p.last); !p.last.IsZero() && gap > 0 && gap <= longGap {
		copy(p.gaps[1:], p.gaps[:])
		p.gaps[0] = gap
	}
	p.last = now
}

// Known reports whether there have been frames enough to know the pace.
func (p *Pace) Known() bool { return p.gaps[1] > 0 }

// Gap is the time between two frames of a slow camera: the shortest of the last
// four, so that an outage is not taken for slowness. It is 0 for a camera that
// gives two frames a second or more, and as long as that is not known.
func (p *Pace) Gap() time.Duration {
	if !p.Known() {
		return 0
	}
	least := p.gaps[0]
	for _, g := range p.gaps[1:] {
		if g > 0 {
			least = min(least, g)
		}
	}
	if least < slowGap {
		return 0
	}
	return least
}
