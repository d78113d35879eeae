package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"slices"
	"time"

	"mien/camera"
	"mien/camera/picture"
	"mien/device"
	"mien/device/config"
	"mien/device/display"
	"mien/runtime/face"
	"mien/runtime/infer"
)

type probeCmd struct {
	configFlag
	Image     []string `arg:"" help:"Pictures: JPEG, PNG, GIF, WebP, BMP or TIFF; turned as their EXIF data say. More than one give a line of JSON each."`
	JSON      bool     `help:"A line of JSON for one picture too."`
	Model     string   `placeholder:"FILE" help:"A .tflite file instead of the configured model."`
	Engine    string   `placeholder:"NAME" help:"auto, tflite or portable, instead of the configured one."`
	Heads     []string `placeholder:"HEAD,..." help:"Heads instead of the configured ones."`
	Annotated string   `placeholder:"FILE" help:"Also write the picture with boxes and bars, as PNG."`
}

// Run prints the reading of one picture.
func (c probeCmd) Run(e env) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	override(&cfg, c.Model, c.Engine, c.Heads)
	for i, h := range c.Heads {
		if slices.Contains(c.Heads[:i], h) {
			return fmt.Errorf("--heads: %q is there twice", h)
		}
	}
	if c.Annotated != "" && len(c.Image) > 1 {
		return errors.New("--annotated takes one picture")
	}
	m, _, err := openModel(cfg.Model, 0)
	if err != nil {
		return err
	}
	defer m.Close()
	finder, err := face.NewDetector(cfg.FaceOptions())
	if err != nil {
		return err
	}
	if len(c.Image) == 1 {
		r, err := c.read(&cfg, finder, m, c.Image[0])
		if err != nil {
			return err
		}
		out := json.NewEncoder(e.stdout)
		if !c.JSON {
			out.SetIndent("", "  ")
		}
		return out.Encode(r)
	}
	return c.many(e, &cfg, finder, m)
}

// probed is what is printed of one picture.
type probed struct {
	File   string `json:"file"`
	Engine string `json:"engine,omitempty"`
	Error  string `json:"error,omitempty"`
	*device.Reading
}

func (c probeCmd) read(cfg *config.Config, finder device.Faces, m infer.Model, path string) (probed, error) {
	f, err := readPicture(path)
	if err != nil {
		return probed{}, err
	}
	r, err := readOnce(cfg, finder, m, f)
	if err == nil && c.Annotated != "" {
		err = annotate(c.Annotated, f, r)
	}
	return probed{File: path, Engine: m.Engine(), Reading: r}, err
}

// many prints a line for each picture; one that cannot be read costs itself.
func (c probeCmd) many(e env, cfg *config.Config, finder device.Faces, m infer.Model) error {
	bad, out := 0, json.NewEncoder(e.stdout)
	for _, path := range c.Image {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		r, err := c.read(cfg, finder, m, path)
		if err != nil {
			bad++
			r = probed{File: path, Error: err.Error()}
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d pictures cannot be read", bad, len(c.Image))
	}
	return nil
}

// override replaces what flags say.
func override(cfg *config.Config, file, engine string, heads []string) {
	if file != "" {
		cfg.Model.File = file
	}
	if engine != "" {
		cfg.Model.Engine = engine
	}
	if len(heads) > 0 {
		cfg.Heads = heads
	}
}

// readOnce reads a single picture: no history, so no smoothing, no waiting to
// be confirmed.
func readOnce(cfg *config.Config, finder device.Faces, m infer.Model, f *camera.Frame) (*device.Reading, error) {
	o := cfg.TrackOptions()
	o.Confirm, o.Window, o.MinScore, o.Smoothing, o.Dwell = 1, 1, 0, -1, -1
	p, err := device.NewPipeline(finder, m, nil, nil, device.PipelineOptions{Heads: cfg.Heads, Track: o})
	if err != nil {
		return nil, err
	}
	return p.Process(f)
}

// readPicture reads a picture as a frame. Errors name the file.
func readPicture(path string) (*camera.Frame, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &camera.Frame{Seq: 1, Time: time.Now()}
	var r picture.Reader
	if err := r.Read(data, f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// annotate writes the picture that people look at.
func annotate(path string, f *camera.Frame, r *device.Reading) error {
	a, err := display.NewAnnotator()
	if err != nil {
		return err
	}
	return writePNG(path, a.Draw(&f.Gray, r, nil))
}

func writePNG(path string, img image.Image) error {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
