package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	_ "time/tzdata" // boards without the system's own know the zones, too

	"mien/boards"
	"mien/camera"
	"mien/device/appliance"
	"mien/device/cmdline"
	"mien/device/config"
	"mien/device/status"
	"mien/runtime/secret"
)

type runCmd struct {
	configFlag
	Model  string `placeholder:"FILE" help:"A .tflite file instead of the configured model."`
	Replay string `placeholder:"FILE" help:"Frames from a recording (folder, .y4m, .mjpeg) instead of the camera; ends with it, unless --loop."`
	Loop   bool   `help:"Begin a recording again at its end."`
	Setup  string `placeholder:"ADDR" help:"Where the page waits for the first who comes to set the device up, such as :8080, as long as its configuration is as it was installed."`
	JSON   bool   `xor:"print" help:"Print every reading, track, line change and state as a line of JSON."`
	Quiet  bool   `xor:"print" short:"q" help:"Print no readings, even on a terminal."`
}

// Run is the firmware's life.
func (c runCmd) Run(e env) error {
	if err := (status.Options{Addr: c.Setup, Setup: true}).Check(); err != nil {
		return fmt.Errorf("--setup: %w", err)
	}
	log := newLog(e.stderr)
	if err := dropRoot(serviceUser, log); err != nil {
		return err
	}
	for {
		if err := c.once(e, log); !errors.Is(err, errAgain) {
			return err
		}
		log.Info("starting again, as it was asked to")
	}
}

// once runs until the end, or until the page asks for another start.
func (c runCmd) once(e env, log *slog.Logger) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	file := cfg
	if err := e.inZone(cfg.TimeZone); err != nil {
		log.Warn("times stay in the zone of before", "error", err)
	}
	override(&cfg, c.Model, "", nil)
	if c.Model != "" { // a slip of the pen, where a configured model may still come
		m, _, err := openModel(cfg.Model, 0)
		if err != nil {
			return fmt.Errorf("--model: %w", err)
		}
		if err := m.Close(); err != nil {
			return err
		}
	}
	o := appOptions{path: c.Config, file: &file, set: c.Setup}
	if c.Replay != "" {
		cfg.Camera.Source = secret.NewURL("replay:" + c.Replay)
	}
	cfg.Camera.Loop = cfg.Camera.Loop || c.Loop
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	lines := &jsonLines{w: e.stdout, failed: cancel}
	switch {
	case c.JSON:
		o.to = lines
	case !c.Quiet && cmdline.Terminal(e.stdout):
		o.to = newTicker(e.stdout, cmdline.Colour(e.stdout))
	}
	a, err := newApp(cfg, log, o)
	if err != nil {
		return err
	}
	return errors.Join(a.run(ctx), a.close(), lines.err)
}

// cameraOf returns what opens the configured camera.
func cameraOf(cfg *config.Config, b boards.Board) (func(context.Context) (camera.Source, error), error) {
	src, err := sourceOf(cfg, b)
	if err != nil {
		return nil, err
	}
	return openers(cfg, src)
}

// sourceOf says which camera is meant.
func sourceOf(cfg *config.Config, b boards.Board) (config.Source, error) {
	src, err := config.ParseSource(cfg.Camera.Source)
	if err == nil && src.Kind == "auto" {
		src = autoCamera(b)
	}
	return src, err
}

// autoCamera is the board's camera; where the board is not known, or has a
// USB camera in place of its own, the first device there is.
func autoCamera(b boards.Board) config.Source {
	if b.Camera == "rpicam" && (inPath("rpicam-vid") || inPath("libcamera-vid")) {
		return config.Source{Kind: "rpicam"}
	}
	if strings.HasPrefix(b.Camera, "/dev/") && exists(b.Camera) {
		return config.Source{Kind: "v4l2", Path: secret.NewURL(b.Camera)}
	}
	devices, err := filepath.Glob("/dev/video*")
	if err == nil && len(devices) > 0 {
		return config.Source{Kind: "v4l2", Path: secret.NewURL(devices[0])}
	}
	if b.Camera == "rpicam" && !appliance.Below.Here() { // the image has no driver for it
		return config.Source{Kind: "rpicam"}
	}
	return config.Source{Kind: "v4l2", Path: secret.NewURL("/dev/video0")}
}

func inPath(program string) bool {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if exists(filepath.Join(dir, program)) {
			return true
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
