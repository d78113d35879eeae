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
var examples = []manual.Example{
	{"Train the network of the paper by its recipe, and go on with the run after Ctrl-C.",
		"mien train --recipe paper --data fer2013:DIR --data utkface:DIR --out runs/first\n" +
			"mien train --data fer2013:DIR --data utkface:DIR --out runs/first --resume"},
	{"Turn what it learned into an int8 file, with a report of what that cost, and measure the file on faces it never saw.",
		"mien quantize --checkpoint runs/first/best.safetensors --calibrate fer2013:DIR --mode int8 --out face.tflite\n" +
			"mien eval --model face.tflite --data utkface:DIR --split test"},
	{"Look into any .tflite file, and say what an Edge TPU would compute of it.",
		"mien inspect face.tflite\n" +
			"mien inspect face.tflite --target edgetpu"},
	{"Ask a question of one's own: a folder of pictures for each answer, looked through first.",
		"mien data check --head smile=yes,no --sheet sheet.png folders:DIR\n" +
			"mien train --recipe edge --head smile=yes,no --data folders:DIR --out runs/smile"},
	{"See what a filter makes of a face, and teach a network that sees nothing else; the file and the board keep to it.",
		"mien data filters --sheet filters.png\n" +
			"mien train --recipe paper-single --set filter=hog --data fer2013:DIR --out runs/hog"},
	{"Write a recipe of one's own: see what keys there are and what they mean, begin with one that is there, and train by it.",
		"mien recipe paper\n" +
			"mien recipe edge > own.yaml\n" +
			"mien train --recipe own.yaml --data fer2013:DIR --out runs/own"},
	{"Search a learning rate; the best trials go on.",
		"mien sweep --recipe edge --try lr=1e-3..1e-2 --data fer2013:DIR --out runs/sweep"},
	{"Compare runs as a paper does, with seeds and intervals; the same again goes on where it was cut.",
		"mien experiment train/experiments/paper.yaml --data fer2013:DIR --data utkface:DIR --out runs/paper"},
	{"Let a model say what pictures have no labels of, where it is sure, and learn from that.",
		"mien label --model face.tflite --data fer2013:DIR --head gender --head age --least 0.8 --out DIR/labelled.csv\n" +
			"mien train --data manifest:DIR/labelled.csv --out runs/labelled"},
	{"Choose how to quantise: every way with what it costs, and where two files part.",
		"mien compare --checkpoint runs/first/best.safetensors --calibrate fer2013:DIR\n" +
			"mien diff float32.tflite face.tflite --faces fer2013:DIR"},
	{"Quantise a float model of one's own, with pictures to calibrate it, and fail below 20 dB.",
		"mien quantize model.tflite --pictures DIR --normalise 127.5,127.5 --order rgb --min-snr 20 --out model-int8.tflite"},
	{"Let confidences mean what they say, then write what the model can and cannot do into its card.",
		"mien temperature face.tflite --data fer2013:DIR --out face-even.tflite\n" +
			"mien card face-even.tflite --data fer2013:DIR --checkpoint runs/first/best.safetensors --out face-card.tflite"},
	{"Measure it through a camera: known faces in composed frames, found, levelled and read.",
		"mien camera-test --model face.tflite --data utkface:DIR --frames 500"},
	{"Take weights from another program, and give them back.",
		"mien import theirs.safetensors --arch paper --names names.yaml --out ours.safetensors\n" +
			"mien export ours.safetensors --out ours.onnx"},
	{"Say whose work is inside, and print one's terms.", "mien licences\nmien licences Go"},
	{"Write the card of a Raspberry Pi 4 that needs nothing else, and takes updates that are signed with a key.",
		"mien image rpi4 --key minisign.pub --name hall\n" +
			"mien deploy http://mien.local --image build/rpi4/mien-rpi4.img --token token"},
	{"Put the firmware on a board; it is rolled back when it is not healthy.",
		"mien deploy pi@raspberrypi --board rpi4"},
	{"Be the hub of a fleet, let a board in, and have it blink.",
		"mien fleet serve --hub fleet --disk 20\n" +
			"mien fleet enrol hall/door --hub fleet\n" +
			"mien fleet ls --hub fleet\n" +
			"mien fleet command hall/door identify --hub fleet\n" +
			"mien fleet forget hall/door --hub fleet"},
	{"Bring a signed model to the boards of a tag, one of them first, see how far it is, and take it back.",
		"mien fleet rollout face.tflite --tag kiosk --hub fleet\n" +
			"mien fleet rollout --hub fleet\n" +
			"mien fleet rollback model-7-kiosk --hub fleet"},
	{"Have other machines do the runs of a sweep, as workers of the hub.",
		"mien fleet hire trainers --hub fleet\n" +
			"mien worker --fleet tls://hub.local:4222 --credentials trainers/work.creds --ca trainers/fleet-ca.pem\n" +
			"mien sweep --recipe edge --try lr=1e-3..1e-2 --data fer2013:DIR --out runs/sweep --fleet tls://hub.local:4222 --credentials trainers/work.creds --ca trainers/fleet-ca.pem"},
	{"Show how the boards of a fleet are, on a page that other machines reach and as lines of JSON.",
		"mien fleet serve --hub fleet --page :8081\n" +
			"mien fleet watch --hub fleet --json"},
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
