package main

import (
	"context"
	"fmt"
	"os"

	"mien/camera"
	"mien/camera/httpmjpeg"
	"mien/camera/replay"
	"mien/camera/rpicam"
	"mien/camera/v4l2"
	"mien/device/config"
)

// openers returns what opens a camera of each kind. Drivers are imported here
// and nowhere else.
func openers(cfg *config.Config, src config.Source) (func(context.Context) (camera.Source, error), error) {
	c := cfg.Camera
	switch src.Kind {
	case "v4l2":
		return func(context.Context) (camera.Source, error) {
			return opened(v4l2.Open(v4l2.Options{Device: src.Path.Reveal(), Width: c.Width, Height: c.Height, Rate: c.Rate, Timeout: c.Silence}))
		}, nil
	case "rpicam":
		return func(context.Context) (camera.Source, error) {
			return opened(rpicam.Open(rpicam.Options{Width: c.Width, Height: c.Height, Rate: c.Rate, Timeout: c.Silence}))
		}, nil
	case "http":
		return func(ctx context.Context) (camera.Source, error) {
			return opened(httpmjpeg.Open(ctx, httpmjpeg.Options{URL: src.Path.Reveal(), Rate: c.Rate, Timeout: c.Silence}))
		}, nil
	case "replay":
		return func(context.Context) (camera.Source, error) {
			return opened(replay.Open(src.Path.Reveal(), replay.Options{Real: true}))
		}, nil
	}
	return nil, fmt.Errorf("camera.source: this build has no driver for %s", src.Kind)
}

// settings says what a driver would not take of a camera's settings.
func settings(cfg *config.Config, src config.Source) error {
	c := cfg.Camera
	switch src.Kind {
	case "rpicam":
		if c.Width < 128 {
			return fmt.Errorf("rpicam: a width of %d: at least 128 is wanted", c.Width) // narrower rows are padded, who knows how far
		}
		return rpicam.Options{Width: c.Width, Height: c.Height, Rate: c.Rate, Timeout: c.Silence}.Check()
	case "http":
		return httpmjpeg.Options{URL: src.Path.Reveal(), Rate: c.Rate, Timeout: c.Silence}.Check()
	case "replay":
		if _, err := os.Stat(src.Path.Reveal()); err != nil {
			return fmt.Errorf("no recording: %w", err)
		}
	}
	return nil
}

// opened keeps a nil source from becoming an interface that is not nil.
func opened[S camera.Source](s S, err error) (camera.Source, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// demoScene is a face that enters, tilts and leaves, for ten seconds.
func demoScene() camera.Source { return replay.Demo(replay.Options{Real: true}) }
