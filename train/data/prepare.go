package data

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the formats that sets come in
	_ "image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"mien/runtime/face"
	"mien/runtime/model"
	"mien/runtime/upright"
)

// A record is what preparing an image gives, and what the cache keeps of it:
// ID, marks, face, thumb.
const (
	thumbSide   = 16
	recordBytes = 8 + 1 + Pixels + thumbSide*thumbSide
)

// Marks say how a face came about.
type Marks uint8

// The marks.
const (
	NoFace    Marks = 1 << iota // none was found: the picture is taken to be framed as the others
	Flattened                   // it was transparent in places, and is laid on grey
	unfound                     // none was found in a photograph: it is no sample
)

// Marked counts the samples with a mark.
func (s *Set) Marked(m Marks) int {
	n := 0
	for i := range s.Samples {
		if s.Samples[i].Marks&m != 0 {
			n++
		}
	}
	return n
}

// prepare reads the listed images, from the cache where it has them.
func prepare(ctx context.Context, kind Kind, dir string, l *listing, o Options) (*Set, error) {
	set := &Set{Kind: kind.Name, Dir: dir, Heads: o.heads(), Bad: l.bad, Skipped: l.skipped}
	if err := o.Levelling.Check(); err != nil {
		return nil, fmt.Errorf("data: levelling: %w", err)
	}
	if slices.ContainsFunc(l.items, func(it item) bool { return it.photograph }) {
		if o.Levelling != face.AsBoards {
			return nil, fmt.Errorf("data: %s:%s has photographs, which are levelled as on a board, not by %s", kind.Name, dir, o.Levelling)
		}
		o.CacheDir = "" // the finder that boards have changes oftener than faces are framed otherwise
	}
	cache := cachePath(o.CacheDir, kind, dir, o.Levelling)
	var known map[contentKey][]byte
	if o.CacheDir != "" {
		known = readCache(cache)
	}
	p, err := prepareAll(ctx, kind, dir, o.Levelling, l.items, known, o.Progress)
	if err != nil {
		return nil, err
	}
	if p.made > 0 && o.CacheDir != "" {
		older := known
		if o.Limit == 0 {
			older = nil // of pictures that are gone
		}
		err := writeCache(cache, p.keys, p.records, older)
		if err == nil {
			err = trimCache(cache, cacheBound)
		}
		if err != nil {
			set.Notes = append(set.Notes, fmt.Sprintf("prepared faces are not kept for the next time: %v (free some space, or set XDG_CACHE_HOME to another disk)", err))
		}
	}
	set.fill(kind, l.items, p, o)
	return set, nil
}

// fill makes the samples.
func (s *Set) fill(kind Kind, items []item, p *prepared, o Options) {
	a := newAnswers(s.Heads, o.Spread)
	s.Samples = make([]Sample, 0, len(items))
	for i, it := range items {
		path := filepath.Join(kind.folder(s.Dir), it.path)
		s.Published = s.Published || it.published != ""
		if p.errs[i] != nil {
			s.Bad = append(s.Bad, Bad{path, p.errs[i]})
			continue
		}
		labels, soft, err := a.of(it.says, kind.Strict)
		if err != nil {
			s.Bad = append(s.Bad, Bad{path, err})
			continue
		}
		r := p.records[i]
		if Marks(r[8])&unfound != 0 {
			s.Unfound = append(s.Unfound, Sample{Path: path, Labels: labels, Soft: soft})
			continue
		}
		s.Samples = append(s.Samples, Sample{
			Path: path, Labels: labels, Soft: soft, published: it.published,
			ID: binary.LittleEndian.Uint64(r), Marks: Marks(r[8]), Face: r[9:][:Pixels:Pixels], thumb: r[9+Pixels:],
		})
	}
}

// prepared is what became of the items, in their order.
type prepared struct {
	keys    []contentKey
	records [][]byte
	errs    []error
	made    int // records that the cache did not have
}

func prepareAll(ctx context.Context, kind Kind, dir string, levelling face.Levelling, items []item, known map[contentKey][]byte, progress func(done, total int)) (*prepared, error) {
	p := &prepared{keys: make([]contentKey, len(items)), records: make([][]byte, len(items)), errs: make([]error, len(items))}
	var next, done, made atomic.Int64
	var report, large sync.Mutex
	var wg sync.WaitGroup
	workers := make([]*preparer, min(runtime.GOMAXPROCS(0), len(items)))
	for k := range workers {
		crop, err := face.NewCropper()
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		crop.Levelling = levelling
		workers[k] = &preparer{kind: kind, dir: dir, crop: crop, large: &large, face: image.NewGray(image.Rect(0, 0, model.Side, model.Side))}
	}
	for _, w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(items) || ctx.Err() != nil {
					return
				}
				var content []byte
				if content, p.errs[i] = w.read(&items[i]); p.errs[i] == nil {
					p.keys[i] = keyOf(kind, levelling, &items[i], content)
					if p.records[i] = known[p.keys[i]]; p.records[i] != nil {
						continue
					}
					p.records[i], p.errs[i] = w.prepare(&items[i], content)
				}
				made.Add(1)
				if n := int(done.Add(1)); progress != nil && n%256 == 0 {
					report.Lock()
					progress(n, len(items))
					report.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("data: interrupted while preparing the faces of %s: %w", dir, err)
	}
	if p.made = int(made.Load()); p.made > 0 && progress != nil {
		progress(len(items), len(items))
	}
	return p, nil
}

// preparer prepares images one after the other.
type preparer struct {
	kind  Kind
	dir   string
	crop  *face.Cropper
	board *face.Detector // what boards find faces with; nil until it is needed
	face  *image.Gray
	large *sync.Mutex // one large picture at a time is in memory
}

// read returns the bytes of an image: those of its file, or its pixels.
func (w *preparer) read(it *item) ([]byte, error) {
	if it.row != nil {
		return it.row, nil
	}
	return os.ReadFile(filepath.Join(w.kind.folder(w.dir), it.path))
}

func (w *preparer) prepare(it *item, content []byte) ([]byte, error) {
	record := make([]byte, recordBytes)
	img := &image.Gray{Pix: it.row, Stride: ferSide, Rect: image.Rect(0, 0, ferSide, ferSide)}
	var marks Marks
	if it.row == nil {
		var err error
		if img, marks, err = w.decode(content, it.box); err != nil {
			return nil, err
		}
	}
	binary.LittleEndian.PutUint64(record, hashBytes(content))
	if it.photograph {
		found, err := w.find(img)
		if err != nil {
			return nil, err
		}
		if !found {
			marks |= unfound
		}
	} else if !w.crop.FromCrop(w.face, img, w.kind.Crop) {
		marks |= NoFace
	}
	record[8] = byte(marks)
	copy(record[9:], w.face.Pix)
	thumb(record[9+Pixels:], img)
	return record, nil
}

// Limits of a picture, in pixels. One above largePixels is decoded alone, so
// that a folder of them takes the memory of one.
const (
	leastSide   = 8
	mostPixels  = 64 << 20
	largePixels = 8 << 20
)

func (w *preparer) decode(content []byte, part box) (*image.Gray, Marks, error) {
	c, _, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the image: %w", err)
	}
	if c.Width < leastSide || c.Height < leastSide {
		return nil, 0, fmt.Errorf("an image of %dx%d pixels is too small for a face", c.Width, c.Height)
	}
	if c.Width > mostPixels/c.Height {
		return nil, 0, fmt.Errorf("an image of %dx%d pixels is larger than any camera's", c.Width, c.Height)
	}
	if c.Width*c.Height > largePixels {
		w.large.Lock()
		defer w.large.Unlock()
	}
	img, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the image: %w", err)
	}
	if img, err = cut(img, part); err != nil { // boxes are in pixels as they are stored
		return nil, 0, err
	}
	g, flattened := gray(upright.EXIF(content).Image(img))
	if flattened {
		return g, Flattened, nil
	}
	return g, 0, nil
}

// cut returns the part of img that lies in a box.
func cut(img image.Image, b box) (image.Image, error) {
	if b == (box{}) {
		return img, nil
	}
	at := image.Rect(b.x, b.y, b.x+b.width, b.y+b.height).Add(img.Bounds().Min).Intersect(img.Bounds())
	if at.Dx() < leastSide || at.Dy() < leastSide {
		return nil, fmt.Errorf("the box at %d,%d of %dx%d pixels holds no face of this image of %dx%d", b.x, b.y, b.width, b.height, img.Bounds().Dx(), img.Bounds().Dy())
	}
	whole, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	})
	if !ok {
		return nil, fmt.Errorf("a part of an image of type %T cannot be taken", img)
	}
	return whole.SubImage(at), nil
}

// gray returns the luma of img with its corner at 0,0. What is transparent is
// laid on middle grey, which is no part of a face's outline.
func gray(img image.Image) (out *image.Gray, flattened bool) {
	b := img.Bounds()
	out = image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
	if o, ok := img.(interface{ Opaque() bool }); ok && !o.Opaque() {
		for y := range b.Dy() {
			for x := range b.Dx() {
				r, g, bl, a := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
				rest := (0xffff - a) / 2
				c := color.RGBA64{R: uint16(r + rest), G: uint16(g + rest), B: uint16(bl + rest), A: 0xffff}
				out.Pix[y*out.Stride+x] = color.GrayModel.Convert(c).(color.Gray).Y
			}
		}
		return out, true
	}
	switch src := img.(type) {
	case *image.Gray:
		for y := range b.Dy() {
			copy(out.Pix[y*out.Stride:][:b.Dx()], src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y):])
		}
	case *image.YCbCr:
		for y := range b.Dy() {
			copy(out.Pix[y*out.Stride:][:b.Dx()], src.Y[src.YOffset(b.Min.X, b.Min.Y+y):])
		}
	default:
		for y := range b.Dy() {
			for x := range b.Dx() {
				out.Pix[y*out.Stride+x] = color.GrayModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.Gray).Y
			}
		}
	}
	return out, false
}
