package main

import (
	"mien/device/cmdline"
	"mien/device/manual"
)

// manualCmd is for make install and for those who make packages.
type manualCmd struct {
	Bash bool `help:"The completion script for bash instead."`
}

// examples are of the manual page.
var examples = [][2]string{
	{"Train the network of the paper by its recipe, and go on with the run after Ctrl-C.",
		"mien train --recipe paper --data fer2013:DIR --data utkface:DIR --out runs/first\n" +
			"mien train --data fer2013:DIR --data utkface:DIR --out runs/first --resume"},
	{"Turn what it learned into an int8 file, with a report of what that cost, and measure the file on faces it never saw.",
		"mien quantize --checkpoint runs/first/best.safetensors --calibrate fer2013:DIR --mode int8 --out face.tflite\n" +
			"mien eval --model face.tflite --data utkface:DIR --split test"},
	{"Look into any .tflite file, and say what an Edge TPU would compute of it.",
		"mien inspect face.tflite\n" +
			"mien inspect face.tflite --target edgetpu"},
	{"Put the firmware on a board; it is rolled back when it is not healthy.",
		"mien deploy pi@raspberrypi --board rpi4"},
}

// Run writes the manual page of mien.
func (c manualCmd) Run(e env) error {
	m, err := program().Model()
	if err != nil {
		return err
	}
	if c.Bash {
		return manual.Bash(e.stdout, m)
	}
	return manual.Page(e.stdout, m, manual.About{Section: "1", Version: cmdline.Version(stamped), Examples: examples,
		Files: [][2]string{
			{"~/.cache/mien", "Prepared faces of data sets, at most 4 GiB; deleting it is always safe. XDG_CACHE_HOME sets another place."},
		},
		SeeAlso: []string{"miend(8)"}})
}
