package main

import (
	"mien/device/config"
	"mien/device/manual"
)

// manualCmd is for those who make packages.
type manualCmd struct {
	Bash   bool `xor:"kind" help:"The completion script for bash instead."`
	Config bool `xor:"kind" help:"The page of the configuration file instead."`
}

// examples are of the manual page.
var examples = []manual.Example{
	{"See what miend does, without a camera and without a board.", "miend demo --out /tmp/demo"},
	{"Say what is wrong with this board, then whether its configuration is right, and take that over.",
		"miend doctor\nmiend check /etc/mien/mien.yaml\nsystemctl reload miend"},
	{"Measure this board for a minute; the last line is one to publish.", "sudo systemctl stop miend\nmiend bench --for 1m\nsudo systemctl start miend"},
	{"Read one picture.", "miend probe picture.jpg --annotated seen.png"},
	{"Try a configuration on a recording, with every line change as a line of JSON.", "miend run -c mien.yaml --replay hall.mjpeg --json"},
	{"Install a model that was signed with minisign, and let it run on trial.", "sudo miend update face.tflite\nsystemctl restart miend"},
	{"Go back to the model before the last update.", "sudo miend update --rollback"},
	{"Say which version this is, and whose work is inside.", "miend version\nmiend licences\nmiend licences Go"},
}

// configExamples are of the configuration's page.
var configExamples = []manual.Example{
	{"A lamp at pin 37 of the header that is lit while somebody smiles, and one at GPIO17 while the device works.",
		"signals:\n  lines:\n    is_happy: {pin: header 37}\n    ready: {pin: GPIO17}"},
	{"Emotion alone, as a number on three lines for a machine that latches it at strobe; its inputs are slow.",
		"heads: [emotion]\nsignals:\n  min_hold: 400ms\n  pulse: 200ms\n  lines:\n    code0: {pin: GPIO5}\n    code1: {pin: GPIO6}\n    code2: {pin: GPIO13}\n    strobe: {pin: GPIO19, active: low}"},
	{"A USB camera that hangs upside down, its page for others in the house, and Home Assistant.",
		"camera: {source: /dev/video0, rotate: 180}\nstatus: {listen: :8080, token: at least 16 characters}\nmqtt: {broker: mqtt://broker.local:1883, user: mien, password: secret}"},
	{"A model of one's own, and reading only after consent was given on the page.",
		"model: {file: /etc/mien/smile.tflite}\nsignals: {lines: {is_yes: {pin: GPIO17}}}\nconsent: http"},
	{"No hardware at all: frames from a recording, lines on a simulated header.",
		"camera: {source: \"replay:/tmp/hall.mjpeg\", loop: true}\nsignals: {pins: simulated, lines: {face: {pin: GPIO22}}}"},
}

// Run writes miend's manual pages.
func (c manualCmd) Run(e env) error {
	m, err := program().Model()
	if err != nil {
		return err
	}
	if c.Bash {
		return manual.Bash(e.stdout, m)
	}
	if c.Config {
		return manual.File(e.stdout, "mien.yaml", "configuration of miend", "miend "+version, string(config.Sample), configExamples, "miend(8)")
	}
	return manual.Page(e.stdout, m, manual.About{Section: "8", Version: version, Examples: examples,
		Files: [][2]string{
			{configPath, "The configuration. It says itself what each key means; every key is optional."},
			{"/usr/share/mien/mien.yaml", "The configuration as it comes; an upgrade says what is new in it and leaves yours alone."},
			{"/var/lib/mien", "What miend keeps: models in two slots, messages that wait for the broker."},
			{"/var/cache/mien", "The packages that mien deploy goes back to, also at the start after a power cut (mien-recover.service)."},
		},
		SeeAlso: []string{"mien.yaml(5)", "systemctl(1)", "gpiodetect(1)", "rpicam-vid(1)"}})
}
