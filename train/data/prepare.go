package data

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the formats that the sets come in
	_ "image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"mien/runtime/face"
	"mien/runtime/model"
)

// record is what preparing an image gives, and what the cache keeps of it.
const (
	thumbSide   = 16
	recordBytes = 8 + Pixels + thumbSide*thumbSide // ID, face, thumb
)

// prepare reads the items' images, from the cache where it has them, or all
// images of the set. Unreadable ones are returned and left out.
func prepare(ctx context.Context, kind, dir string, items, all []item, o Options) (*Set, []Bad, error) {
	set := &Set{Kind: kind, Dir: dir}
	for i := range items {
		set.Published = set.Published || items[i].published != ""
	}
	key := cacheKey(kind, dir, items)
	records := readCache(o.CacheDir, key, len(items))
	if records == nil && len(items) < len(all) {
		records = fromWhole(o.CacheDir, kind, dir, items, all)
	}
	var bad []Bad
	var err error
	if records == nil {
		records, bad, err = prepareAll(ctx, kind, dir, items, o.Progress)
		if err != nil {
			return nil, nil, err
		}
		if len(bad) == 0 {
			if err := writeCache(o.CacheDir, key, records); err != nil {
				return nil, nil, err
			}
		}
	}
	set.Samples = make([]Sample, 0, len(items))
	for i, it := range items {
		path := filepath.Join(dir, it.path)
		if slices.ContainsFunc(bad, func(b Bad) bool { return b.Path == path }) {
			continue
		}
		r := records[i*recordBytes:][:recordBytes:recordBytes]
		set.Samples = append(set.Samples, Sample{
			Path: path, Labels: it.labels, published: it.published,
			ID: binary.LittleEndian.Uint64(r), Face: r[8:][:Pixels:Pixels], thumb: r[8+Pixels:],
		})
	}
	return set, bad, nil
}

func prepareAll(ctx context.Context, kind, dir string, items []item, progress func(done, total int)) ([]byte, []Bad, error) {
	records := make([]byte, len(items)*recordBytes)
	errs := make([]error, len(items))
	var next, done atomic.Int64
	var report sync.Mutex
	var wg sync.WaitGroup
	workers := make([]*preparer, min(runtime.GOMAXPROCS(0), len(items)))
	for k := range workers {
		var err error
		if workers[k], err = newPreparer(kind); err != nil {
			return nil, nil, err
		}
	}
	for _, w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(items) || ctx.Err() != nil {
					return
				}
				errs[i] = w.prepare(records[i*recordBytes:][:recordBytes], dir, items[i])
				if n := int(done.Add(1)); progress != nil && (n%256 == 0 || n == len(items)) {
					report.Lock()
					progress(n, len(items))
					report.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, nil, fmt.Errorf("data: interrupted while preparing the faces of %s: %w", dir, err)
	}
	var bad []Bad
	for i, err := range errs {
		if err != nil {
			bad = append(bad, Bad{filepath.Join(dir, items[i].path), err})
		}
	}
	return records, bad, nil
}

// preparer prepares images one after the other.
type preparer struct {
	kind face.Crop
	crop *face.Cropper
	face *image.Gray
}

func newPreparer(kind string) (*preparer, error) {
	crop, err := face.NewCropper()
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return &preparer{framing(kind), crop, image.NewGray(image.Rect(0, 0, model.Side, model.Side))}, nil
}

func (w *preparer) prepare(record []byte, dir string, it item) error {
	img, id, err := open(dir, it)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(record, id)
	w.crop.FromCrop(w.face, img, w.kind)
	copy(record[8:], w.face.Pix)
	thumb(record[8+Pixels:], img)
	return nil
}

func open(dir string, it item) (*image.Gray, uint64, error) {
	if it.row != nil {
		return &image.Gray{Pix: it.row, Stride: ferSide, Rect: image.Rect(0, 0, ferSide, ferSide)}, hashBytes(it.row), nil
	}
	b, err := os.ReadFile(filepath.Join(dir, it.path))
	if err != nil {
		return nil, 0, err
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the image: %w", err)
	}
	if s := img.Bounds().Size(); s.X < 8 || s.Y < 8 {
		return nil, 0, fmt.Errorf("an image of %dx%d pixels is too small for a face", s.X, s.Y)
	}
	return gray(img), hashBytes(b), nil
}

// gray returns the luma of img with its corner at 0,0.
func gray(img image.Image) *image.Gray {
	b := img.Bounds()
	out := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
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
	return out
}
