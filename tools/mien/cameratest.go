package main

import (
	"encoding/json"
	"fmt"
	"os"

	"mien/tools/internal/picture"
	"mien/train/composed"
	"mien/train/data"
)

type cameraTestCmd struct {
	Data    string    `help:"Data set as KIND:DIR (${kinds})." placeholder:"KIND:DIR" required:"" check:"data"`
	Model   string    `help:"Model; without one only finding and levelling are measured." placeholder:"F.tflite"`
	Split   string    `help:"train, val, test, private or all." default:"test" check:"split"`
	Frames  int       `help:"How many frames to compose, each with one face." default:"1000"`
	Seed    uint64    `help:"Seed of the frames; also of the split into train and val." default:"1"`
	MinSide float64   `help:"Least side of a crop in the frame, pixels." default:"60" least:"20"`
	MaxSide float64   `help:"Largest side of a crop in the frame, pixels." default:"300" most:"480"`
	MaxTilt float64   `help:"Tilt to either side, degrees." default:"25" least:"0" most:"90"`
	Angles  []float64 `help:"Tilts that the detector looks for besides upright, degrees." placeholder:"DEGREES" least:"-180" most:"180"`
	Empty   string    `help:"Folder of pictures without faces, to count false faces in." placeholder:"DIR"`
	Write   string    `help:"Write the frames there as PNG, with truth.jsonl." placeholder:"DIR"`
	Engine  string    `help:"Engine: tflite, portable, or auto." default:"auto" enum:"auto,tflite,portable"`
	JSON    bool      `help:"Print JSON." name:"json"`
	Threads int       `help:"Threads; 0 means one for each CPU." least:"0"`
}

func (c *cameraTestCmd) Run(e env) error {
	o := composed.Options{Frames: c.Frames, Seed: c.Seed, MinSide: c.MinSide, MaxSide: c.MaxSide, MaxTilt: c.MaxTilt, Angles: c.Angles,
		Empty: c.Empty, Write: c.Write, Read: picture.ReadGray}
	if c.Model != "" {
		file, err := os.ReadFile(c.Model)
		if err != nil {
			return err
		}
		if o.Model, err = openEngine(c.Engine, file, threads(c.Threads)); err != nil {
			return fmt.Errorf("%s: %w", c.Model, err)
		}
		defer o.Model.Close()
	}
	sets, err := loadSets(e, []string{c.Data}, data.Options{Seed: c.Seed})
	if err != nil {
		return err
	}
	samples, split, err := sets[0].Select(c.Split)
	if err != nil {
		return err
	}
	b := newBar(e.stderr, "looking at composed frames", "frames", c.Frames)
	o.Progress = b.set
	r, err := composed.Run(e.ctx, sets[0].Heads, samples, o)
	b.end()
	if err != nil {
		return err
	}
	r.Data, r.Split, r.Model = c.Data, split, c.Model
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	return r.Print(e.stdout)
}
