package main

import (
	"context"
	"fmt"

	"mien/camera"
	"mien/camera/replay"
	"mien/device/config"
)

// openers returns what opens a camera of each kind. Drivers are imported here
// and nowhere else.
func openers(cfg *config.Config, src config.Source) (func(context.Context) (camera.Source, error), error) {
	switch src.Kind {
	case "replay":
		return func(context.Context) (camera.Source, error) {
			return replay.Open(src.Path, replay.Options{Real: true})
		}, nil
	}
	return nil, fmt.Errorf("camera.source: this build has no driver for %s", src.Kind)
}

// demoScene is a face that enters, tilts and leaves, for ten seconds.
func demoScene() camera.Source { return replay.Demo(replay.Options{Real: true}) }
