package main

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mien/quant"
	"mien/quant/report"
	"mien/runtime/face"
	"mien/runtime/model"
	"mien/tools/internal/picture"
)

// crops reads a folder of pictures that are faces: those of 50x50 pixels, as a
// device records them, are taken as they are, others are framed.
func crops(dir string, n int) ([]report.Sample, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
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
	cropper, err := face.NewCropper()
	if err != nil {
		return nil, err
	}
	var out []report.Sample
	for _, p := range evenly(paths, n) {
		f, err := readCrop(p, cropper)
		if err != nil {
			return nil, err
		}
		out = append(out, report.Sample{Path: p, Face: f, Labels: []int8{-1, -1, -1, -1}})
	}
	return out, nil
}

func readCrop(path string, cropper *face.Cropper) (quant.Face, error) {
	grey, err := picture.ReadGray(path)
	if err != nil {
		return nil, err
	}
	size := grey.Rect.Size()
	if size.X < 8 || size.Y < 8 {
		return nil, fmt.Errorf("%s: a picture of %dx%d is not a face", path, size.X, size.Y)
	}
	if size.X == model.Side && size.Y == model.Side {
		return quant.Face(grey.Pix), nil
	}
	dst := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	cropper.FromCrop(dst, grey, face.Loose)
	return quant.Face(dst.Pix), nil
}
