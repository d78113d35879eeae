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
var examples = [][2]string{
	{"See what miend does, without a camera and without a board.", "miend demo --out /tmp/demo"},
	{"Say what is wrong with this board, then whether its configuration is right, and take that over.",
		"miend doctor\nmiend check /etc/mien/mien.yaml\nsystemctl reload miend"},
	{"Read one picture.", "miend probe picture.jpg --annotated seen.png"},
	{"Go back to the model before the last update.", "miend update --rollback"},
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
		return manual.File(e.stdout, "mien.yaml", "configuration of miend", "miend "+version, string(config.Sample), "miend(8)")
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
