// Package crops reads folders of pictures that are faces already, as a device records them.
package crops

import (
	"fmt"
	"image"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"mien/runtime/face"
	"mien/runtime/model"
	"mien/tools/internal/picture"
)

// Files are the .png and .jpg files below a folder, which has to hold one.
func Files(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(filepath.Ext(path))) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no .png or .jpg in it", dir)
	}
	return paths, nil
}

// Read reads a picture that is a face, as model.Side rows of grey pixels: one
// of that size, as a device records them, is taken as it is, another is framed.
func Read(path string, cropper *face.Cropper) ([]uint8, error) {
	grey, err := picture.ReadGray(path)
	if err != nil {
		return nil, err
	}
	size := grey.Rect.Size()
	if size.X < 8 || size.Y < 8 {
		return nil, fmt.Errorf("%s: a picture of %dx%d is not a face", path, size.X, size.Y)
	}
	if size.X == model.Side && size.Y == model.Side {
		return grey.Pix, nil
	}
	dst := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	cropper.FromCrop(dst, grey, face.Loose)
	return dst.Pix, nil
}
