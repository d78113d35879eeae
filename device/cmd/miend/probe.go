package main

import (
	"bytes"
	"encoding/json"
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
	Image     string   `arg:"" help:"Picture: JPEG, PNG, GIF, WebP, BMP or TIFF; turned as its EXIF data say."`
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
	f, err := readPicture(c.Image)
	if err != nil {
		return err
	}
	m, _, err := openModel(cfg.Model, 0)
	if err != nil {
		return err
	}
	defer m.Close()
	r, err := readOnce(&cfg, m, f)
	if err != nil {
		return err
	}
	if c.Annotated != "" {
		if err := annotate(c.Annotated, f, r); err != nil {
			return err
		}
	}
	out := json.NewEncoder(e.stdout)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		Engine string `json:"engine"`
		*device.Reading
	}{m.Engine(), r})
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
func readOnce(cfg *config.Config, m infer.Model, f *camera.Frame) (*device.Reading, error) {
	finder, err := face.NewDetector(cfg.FaceOptions())
	if err != nil {
		return nil, err
	}
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
