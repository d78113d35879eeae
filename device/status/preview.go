package status

import (
	"bytes"
	"image"
	"image/jpeg"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mien/device/page"
)

// preview holds at most one picture, half the camera's size or less, for as
// long as somebody looks. Nothing is held when nobody does.
type preview struct {
	on     atomic.Bool  // the preview is enabled
	blind  atomic.Bool  // there is no consent
	lease  atomic.Int64 // Unix nanoseconds until which one session may look though the preview is off
	holder atomic.Pointer[page.Session]
	wanted atomic.Int64 // Unix nanoseconds until which somebody looks
	mu     sync.Mutex
	img    image.Gray
	taken  time.Time
}

// How wide a preview is at most, how often one is kept, and how long a look
// lasts.
const (
	previewWidth = 480
	previewEvery = 180 * time.Millisecond
	previewLook  = 3 * time.Second
	previewLease = 10 * time.Second // goes on with each look
)

// lend lets one session look though the preview is off, or ends that.
func (p *preview) lend(to *page.Session, given bool) {
	if !given {
		p.lease.Store(0)
		p.holder.Store(nil)
		if !p.on.Load() {
			p.wipe()
		}
		return
	}
	p.holder.Store(to)
	p.lease.Store(time.Now().Add(previewLease).UnixNano())
}

func (p *preview) lent(now time.Time) bool { return now.UnixNano() < p.lease.Load() }

// shown reports whether anybody may look.
func (p *preview) shown(now time.Time) bool { return p.on.Load() || p.lent(now) }

// SetPreview switches the preview on or off.
func (s *Server) SetPreview(on bool) {
	if s.preview.on.Store(on); !on && !s.preview.lent(time.Now()) {
		s.preview.wipe()
	}
}

// wipe forgets the picture, and that somebody looks.
func (p *preview) wipe() {
	p.wanted.Store(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.img.Pix[:cap(p.img.Pix)])
	p.img, p.taken = image.Gray{}, time.Time{}
}

// expire forgets the picture when nobody has looked for a while.
func (p *preview) expire(now time.Time) {
	if until := p.wanted.Load(); until != 0 && now.UnixNano() > until {
		p.wipe()
	}
}

// Frame offers a camera picture. Unless the preview is enabled and somebody
// looks at it just now, that costs a comparison; otherwise a few of the
// pictures are copied, made smaller. img is the caller's again on return.
func (s *Server) Frame(img *image.Gray) {
	now := time.Now()
	p := &s.preview
	if !p.shown(now) || p.blind.Load() || now.UnixNano() > p.wanted.Load() || !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if now.Sub(p.taken) < previewEvery || !p.shown(now) || p.blind.Load() {
		return
	}
	p.taken = now
	shrink(&p.img, img)
}

// shrink makes dst a picture of src that is a whole number of times smaller,
// by leaving pixels out: it is for looking at, and has to be cheap.
func shrink(dst, src *image.Gray) {
	step := (src.Rect.Dx() + previewWidth - 1) / previewWidth
	step = max(step, 1)
	w, h := src.Rect.Dx()/step, src.Rect.Dy()/step
	if cap(dst.Pix) < w*h {
		dst.Pix = make([]byte, w*h)
	}
	dst.Pix, dst.Stride, dst.Rect = dst.Pix[:w*h], w, image.Rect(0, 0, w, h)
	for y := range h {
		row := src.Pix[y*step*src.Stride:]
		out := dst.Pix[y*w : (y+1)*w]
		for x := range out {
			out[x] = row[x*step]
		}
	}
}

func (s *Server) picture(w http.ResponseWriter, r *http.Request) {
	p, now := &s.preview, time.Now()
	x := page.SessionOf(r)
	mine := p.lent(now) && p.holder.Load() == x
	switch {
	case !p.on.Load() && !mine:
		page.Refuse(w, http.StatusNotFound, "preview", "the preview is off; it has to be switched on in the configuration")
		return
	case p.blind.Load():
		page.Refuse(w, http.StatusForbidden, "consent", "consent is awaited: there is no picture")
		return
	}
	if mine {
		p.lease.Store(now.Add(previewLease).UnixNano())
	}
	p.wanted.Store(now.Add(previewLook).UnixNano())
	var b bytes.Buffer
	p.mu.Lock()
	fresh := time.Since(p.taken) < previewLook && len(p.img.Pix) > 0
	var err error
	if fresh {
		err = jpeg.Encode(&b, &p.img, &jpeg.Options{Quality: 70})
	} else {
		clear(p.img.Pix) // an old picture is nobody's business
	}
	p.mu.Unlock()
	if !fresh || err != nil || p.blind.Load() {
		w.Header().Set("Retry-After", "1")
		page.Refuse(w, http.StatusServiceUnavailable, "preview", "no picture yet; ask again in a moment")
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Write(b.Bytes())
}
