// Package picture reads the pictures of files as frames: the right way up, and
// grey. A JPEG file is read by the decoder that reads the cameras' streams, so
// that what works in one place works in all.
package picture

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // formats of files, beside JPEG
	_ "image/png"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"mien/camera"
	"mien/camera/mjpeg"
	"mien/runtime/upright"
)

// Kinds is what files may be.
const Kinds = "JPEG, PNG, GIF, WebP, BMP or TIFF"

// maxPixels bounds a picture: 100 megapixels are 100 MB of grey.
const maxPixels = 100 << 20

// Reader reads pictures one after the other. It keeps nothing of them but
// memory. The zero Reader is ready for use.
type Reader struct {
	MaxPixels int // of a picture; 0 means 100 million
	jpeg      mjpeg.Decoder
	flat      camera.Frame // a picture before it is turned
}

// Read makes f the luma of the picture in file, upright as its EXIF data say.
// Time and Seq of f are the caller's. Its errors are of type
// *camera.BadPicture; after one f's pixels are undefined.
func (r *Reader) Read(file []byte, f *camera.Frame) error {
	turn := upright.EXIF(file)
	to := f
	if turn != (upright.Turn{}) {
		to = &r.flat
	}
	limit := cmp.Or(r.MaxPixels, maxPixels)
	if bytes.HasPrefix(file, []byte{0xff, 0xd8}) {
		r.jpeg.MaxPixels = limit
		if err := r.jpeg.Decode(file, to); err != nil {
			return err
		}
	} else if err := other(file, to, limit); err != nil {
		return err
	}
	if to != f {
		f.Resize(turn.Size(to.Rect.Dx(), to.Rect.Dy()))
		turn.Gray(&f.Gray, &to.Gray)
	}
	return nil
}

// other reads a file that is no JPEG.
func other(file []byte, f *camera.Frame, limit int) error {
	size, kind, err := image.DecodeConfig(bytes.NewReader(file))
	switch {
	case errors.Is(err, image.ErrFormat):
		return camera.Bad(camera.Unsupported, "this is no picture of a kind that is read; want %s", Kinds)
	case err != nil:
		return camera.Bad(camera.Damaged, "damaged picture: %v", err)
	case size.Width < 1 || size.Height < 1:
		return camera.Bad(camera.Damaged, "damaged %s picture: %dx%d pixels", kind, size.Width, size.Height)
	case size.Width > limit/size.Height:
		return camera.Bad(camera.TooLarge, "a %s picture of %dx%d pixels; at most %d are taken", kind, size.Width, size.Height, limit)
	}
	img, err := decode(file)
	if err != nil {
		return camera.Bad(camera.Damaged, "damaged %s picture: %v", kind, err)
	}
	if y, ok := img.(*image.NYCbCrA); ok {
		img = &y.YCbCr // what is transparent is as it is
	}
	gray(f, img)
	if _, ok := img.(*image.YCbCr); ok && kind == "webp" {
		stretch(f.Pix)
	}
	return nil
}

// stretch makes full range of the range that WebP's luma has, 16 to 235 (RFC
// 6386, 9.2), which its reader leaves as it is.
func stretch(pix []byte) {
	for i, v := range pix {
		pix[i] = uint8(max(0, min(255, (int(v)-16)*255/219)))
	}
}

// decode turns a panic of a format's package into an error: they read files of
// strangers.
func decode(file []byte) (img image.Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its reader fails: %v", r)
		}
	}()
	img, _, err = image.Decode(bytes.NewReader(file))
	return img, err
}

// gray makes f the luma of img.
func gray(f *camera.Frame, img image.Image) {
	b := img.Bounds()
	f.Resize(b.Dx(), b.Dy())
	for y := range b.Dy() {
		row := f.Pix[y*f.Stride:][:b.Dx()]
		switch src := img.(type) {
		case *image.Gray:
			copy(row, src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y):])
		case *image.YCbCr:
			copy(row, src.Y[src.YOffset(b.Min.X, b.Min.Y+y):])
		default:
			for x := range row {
				row[x] = color.GrayModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.Gray).Y
			}
		}
	}
}
