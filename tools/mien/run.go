package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"mien/train"
	"mien/train/data"
)

// commands is the command line of mien: one field, one file, for each command.
type commands struct {
	Sweep       sweepCmd       `cmd:"" help:"Search recipe keys by successive halving."`
	Train       trainCmd       `cmd:"" help:"Train a network by a recipe."`
	Data        dataCmd        `cmd:"" help:"Look at data sets."`
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
	Deploy      deployCmd      `cmd:"" help:"Put the firmware on a board over ssh; it is rolled back when it is not healthy."`
}

// renamed commands answer with the name that they have now.
var renamed = map[string]string{"recipes": "compare", "calibrate": "temperature"}

// env is what every command gets beside its flags.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
}

// run is main without the process: it parses args and runs the command.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && renamed[args[0]] != "" {
		return fmt.Errorf("mien %s is called mien %s now", args[0], renamed[args[0]])
	}
	var c commands
	parser, err := kong.New(&c,
		kong.Name("mien"),
		kong.Description("Train, quantise and prove face models, and put them on a board."),
		kong.Writers(stdout, stderr),
		kong.UsageOnError(),
		kong.Vars{"kinds": strings.Join(data.Kinds(), ", "), "recipes": strings.Join(train.RecipeNames(), ", ")},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	cmd, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return cmd.Run(env{ctx, stdout, stderr})
}
