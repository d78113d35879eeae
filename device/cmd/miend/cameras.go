package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mien/camera"
	"mien/camera/ffmpeg"
	"mien/camera/httpmjpeg"
	"mien/camera/replay"
	"mien/camera/rpicam"
	"mien/camera/turned"
	"mien/camera/v4l2"
	"mien/device/config"
)

// openers returns what opens a camera of each kind, its pictures turned as
// configured. Drivers are imported here and nowhere else.
func openers(cfg *config.Config, src config.Source) (func(context.Context) (camera.Source, error), error) {
	open, err := driver(cfg, src)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (camera.Source, error) {
		s, err := open(ctx)
		if err != nil {
			return nil, err
		}
		t, err := turned.New(s, cfg.Turn())
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return t, nil
	}, nil
}

// driver returns what opens a camera of each kind. How long a camera may be
// silent its user decides, who knows how fast it is; a driver's own patience
// is the end of that.
func driver(cfg *config.Config, src config.Source) (func(context.Context) (camera.Source, error), error) {
	c, path := cfg.Camera, src.Path.Reveal()
	patience := max(4*c.Silence, time.Minute)
	switch src.Kind {
	case "v4l2":
		return func(context.Context) (camera.Source, error) {
			return opened(v4l2.Open(v4l2.Options{Device: path, Width: c.Width, Height: c.Height, Rate: c.Rate, Timeout: patience}))
		}, nil
	case "rpicam":
		return func(context.Context) (camera.Source, error) {
			return opened(rpicam.Open(rpicam.Options{Width: c.Width, Height: c.Height, Rate: c.Rate, Timeout: patience}))
		}, nil
	case "http":
		return func(ctx context.Context) (camera.Source, error) {
			return opened(httpmjpeg.Open(ctx, httpmjpeg.Options{URL: path, Rate: c.Rate, CA: c.CA, Timeout: patience}))
		}, nil
	case "ffmpeg":
		return func(ctx context.Context) (camera.Source, error) {
			return opened(ffmpeg.Open(ctx, ffmpeg.Options{URL: path, Width: c.Width, Height: c.Height, Rate: c.Rate, CA: c.CA, Timeout: patience}))
		}, nil
	case "replay":
		return func(context.Context) (camera.Source, error) {
			return opened(replay.Open(path, replay.Options{Real: true, Loop: c.Loop}))
		}, nil
	}
	return nil, fmt.Errorf("camera.source: this build has no driver for %s", src.Kind)
}

// ends reports whether the camera is a recording that is played once.
func ends(cfg *config.Config) bool {
	src, err := config.ParseSource(cfg.Camera.Source)
	return err == nil && src.Kind == "replay" && !cfg.Camera.Loop
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
		return httpmjpeg.Options{URL: src.Path.Reveal(), Rate: c.Rate, CA: c.CA, Timeout: c.Silence}.Check()
	case "ffmpeg":
		return ffmpeg.Options{URL: src.Path.Reveal(), Width: c.Width, Height: c.Height, Rate: c.Rate, CA: c.CA}.Check()
	case "replay":
		r, err := replay.Open(src.Path.Reveal(), replay.Options{Loop: c.Loop})
		if err != nil {
			return err
		}
		return r.Close()
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
