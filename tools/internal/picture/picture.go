// Package picture reads pictures as what the models look at: grey.
package picture

import (
	"fmt"
	"image"
	"os"

	"mien/camera"
	"mien/camera/picture"
)

// maxPixels bounds a picture: a damaged header may promise any size.
const maxPixels = 1 << 26

// ReadGray reads a picture of at most 64 megapixels, at 0,0, upright as its
// EXIF data say. Errors name the file.
func ReadGray(path string) (*image.Gray, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := picture.Reader{MaxPixels: maxPixels}
	var f camera.Frame
	if err := r.Read(file, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &f.Gray, nil
}
