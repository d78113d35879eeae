package main

import (
	"fmt"
	"image"
	"image/png"
	"io"

	"mien/camera/replay/portrait"
	"mien/runtime/atomicfile"
	"mien/runtime/face"
	"mien/runtime/face/filter"
	"mien/runtime/model"
	"mien/tools/internal/picture"
	"mien/train/review"
)

type dataFiltersCmd struct {
	Picture string `arg:"" optional:"" help:"Picture with a face in it; the largest is taken. By default the portrait that mien carries, which is in the public domain." placeholder:"F.jpg"`
	Sheet   string `help:"Draw there, a PNG." placeholder:"F.png" default:"filters.png"`
}

func (c *dataFiltersCmd) Run(e env) error {
	seen, err := c.face()
	if err != nil {
		return err
	}
	cells := []review.Cell{{Face: seen.Pix, Lines: []string{"face"}}}
	for _, name := range model.Filters() {
		f, err := filter.New(name)
		if err != nil {
			return err
		}
		cells = append(cells, review.Cell{Face: f.Of(seen).Pix, Lines: []string{string(name)}})
	}
	err = atomicfile.Replace(c.Sheet, func(w io.Writer) error { return png.Encode(w, review.Sheet(cells)) })
	if err != nil {
		return fmt.Errorf("--sheet %s: %w", c.Sheet, err)
	}
	_, err = fmt.Fprintf(e.stdout, "sheet: %s\n", c.Sheet)
	return err
}

// face is that of the picture, framed as on a board.
func (c *dataFiltersCmd) face() (*image.Gray, error) {
	img := portrait.Gray()
	if c.Picture != "" {
		var err error
		if img, err = picture.ReadGray(c.Picture); err != nil {
			return nil, err
		}
	}
	d, err := face.NewDetector(face.Options{})
	if err != nil {
		return nil, err
	}
	found := d.Detect(img, nil)
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no face was found in it", c.Picture)
	}
	out := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	face.Align(out, img, found[0])
	return out, nil
}
