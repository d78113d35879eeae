// Package portrait holds one picture of a face that anyone may use, for the
// demo and for tests.
//
// It is NASA's portrait of the astronaut Eileen Collins, which is in the
// public domain (NASA's Great Images database, https://flic.kr/p/r9qvLn). The
// file is the one that scikit-image 0.19.3 carries as data/astronaut.png
// (Debian package python3-skimage; sha256
// 88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5), made grey
// and compressed with ImageMagick:
//
//	convert astronaut.png -colorspace Gray -strip -quality 88 astronaut.jpg
package portrait

import (
	"bytes"
	_ "embed"
	"image"
	"image/jpeg"
	"sync"
)

//go:embed astronaut.jpg
var file []byte

// Side is the width and height of the picture in pixels.
const Side = 512

// The face as the eye of a person marks it, in pixels of the picture: the
// pupils, and a square from the brows to the chin.
var (
	LeftEye  = image.Pt(203, 101)
	RightEye = image.Pt(246, 104)
	Face     = image.Rect(166, 56, 279, 169)
)

var decoded = sync.OnceValue(func() *image.Gray {
	img, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		panic("portrait: the file in this program is damaged: " + err.Error())
	}
	return img.(*image.Gray)
})

// Gray returns a copy of the picture.
func Gray() *image.Gray {
	src := decoded()
	out := image.NewGray(src.Rect)
	copy(out.Pix, src.Pix)
	return out
}

// JPEG returns the file. The caller leaves it as it is.
func JPEG() []byte { return file }
