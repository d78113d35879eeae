package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"mien/boards"
	"mien/boards/image"
	"mien/device/cmdline"
	board "mien/device/fleet"
	"mien/device/page"
	"mien/tools/fleet"
	"mien/train"
	"mien/train/data"
	"mien/train/sweep"
)

// commands is the command line of mien: one field, one file, for each command.
type commands struct {
	Sweep       sweepCmd       `cmd:"" help:"Search recipe keys by successive halving."`
	Train       trainCmd       `cmd:"" help:"Train a network by a recipe."`
	Recipe      recipeCmd      `cmd:"" help:"Print a recipe, to begin your own with; paper has every key, with what it means."`
	Experiment  experimentCmd  `cmd:"" help:"Train the runs of an experiment and compare them."`
	Worker      workerCmd      `cmd:"" help:"Do runs of sweeps and experiments that other machines began."`
	Data        dataCmd        `cmd:"" help:"Look at data sets."`
	Label       labelCmd       `cmd:"" help:"Let a model label a data set, as a manifest to learn from."`
	Eval        evalCmd        `cmd:"" help:"Measure a model or checkpoint on a data set."`
	CameraTest  cameraTestCmd  `cmd:"" help:"Find and read known faces in composed camera frames."`
	Quantize    quantizeCmd    `cmd:"" help:"Turn a checkpoint into a .tflite file and say what it cost."`
	Compare     compareCmd     `cmd:"" help:"Quantise a checkpoint in every way and print a table of what each cost."`
	Temperature temperatureCmd `cmd:"" help:"Find the temperatures that make a model's confidences mean what they say."`
	Card        cardCmd        `cmd:"" help:"Measure a model and write what it can and cannot do into its card."`
	Import      importCmd      `cmd:"" help:"Turn weights that another program saved into a checkpoint."`
	Export      exportCmd      `cmd:"" help:"Write a checkpoint as an ONNX file."`
	Inspect     inspectCmd     `cmd:"" help:"Say what is in a .tflite file or a checkpoint."`
	Diff        diffCmd        `cmd:"" help:"Compare two models tensor by tensor on the same faces."`
	Licences    licencesCmd    `cmd:"" help:"Say whose work is inside, under which licences, with which terms."`
	Manual      manualCmd      `cmd:"" hidden:"" help:"Write the manual page."`
	Image       imageCmd       `cmd:"" help:"Write the image of a card that starts miend on a Raspberry Pi."`
	Deploy      deployCmd      `cmd:"" help:"Put the firmware on a board over ssh; it is rolled back when it is not healthy."`
	Fleet       fleetCmd       `cmd:"" help:"Many boards: a hub that they tell what they see, credentials, commands."`
}

// renamed commands answer with the name that they have now.
var renamed = map[string]string{"recipes": "compare", "calibrate": "temperature"}

// env is what every command gets beside its flags.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
	told           map[string]bool // data sets that the user has been told about
}

// run is main without the process: it parses args and runs the command.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && renamed[args[0]] != "" {
		return cmdline.Wrong("mien %s is called mien %s now", args[0], renamed[args[0]])
	}
	return program().Run(args, stdout, stderr, env{ctx, stdout, stderr, map[string]bool{}})
}

// stamped is the version that make sets.
var stamped string

func program() cmdline.Program {
	return cmdline.Program{
		Name:        "mien",
		Description: "Train, quantise and prove face models, and put them on a board.",
		Version:     stamped,
		Commands:    &commands{},
		Vars: kong.Vars{"kinds": strings.Join(data.Kinds(), ", "), "recipes": strings.Join(train.RecipeNames(), ", "), "namings": strings.Join(train.Namings(), ", "),
			"images": strings.Join(image.Boards(), ", ")},
		Checks: map[string]func(string) error{
			"board": func(s string) error {
				_, err := boards.ByName(s)
				return err
			},
			"data": checkData,
			"fleetboard": func(s string) error {
				_, err := board.ParseID(s)
				return err
			},
			"faces": func(s string) error {
				if dir, ok := strings.CutPrefix(s, "faces:"); ok && dir != "" {
					return nil
				}
				return checkData(s)
			},
			"image": func(s string) error {
				if !slices.Contains(image.Boards(), s) {
					return fmt.Errorf("no image for board %q: want %s", s, strings.Join(image.Boards(), ", "))
				}
				return nil
			},
			"page": func(s string) error {
				if s == "none" {
					return nil
				}
				return page.CheckAddress(s)
			},
			"proxy": func(s string) error {
				_, err := page.ParseProxy(s)
				return err
			},
			"recipe": func(s string) error {
				_, err := train.LoadRecipe(s, nil)
				return err
			},
			"set": func(s string) error {
				if key, value, _ := strings.Cut(s, "="); key == "" || value == "" {
					return fmt.Errorf("%q is not KEY=VALUE", s)
				}
				return nil // what a key takes depends on the others
			},
			"stages": func(s string) error {
				_, err := fleet.ParseStages(s, 100)
				return err
			},
			"split": func(s string) error {
				if splits := []string{data.Train, data.Val, data.Test, data.Private, data.All}; !slices.Contains(splits, s) {
					return fmt.Errorf("no split %q: want %s", s, strings.Join(splits, ", "))
				}
				return nil
			},
			"try": func(s string) error {
				_, err := sweep.ParseAxis(s)
				return err
			},
		},
	}
}

func checkData(s string) error {
	_, _, err := data.ParseSpec(s)
	return err
}
