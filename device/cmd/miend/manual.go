package main

import (
	"github.com/alecthomas/kong"

	"mien/device/config"
	"mien/device/manual"
)

// manualCmd is for those who make packages.
type manualCmd struct {
	Bash   bool `xor:"kind" help:"The completion script for bash instead."`
	Config bool `xor:"kind" help:"The page of the configuration file instead."`
}

// Run writes miend's manual pages.
func (c manualCmd) Run(e env, k *kong.Context) error {
	if c.Bash {
		return manual.Bash(e.stdout, k.Model)
	}
	if c.Config {
		return manual.File(e.stdout, "mien.yaml", "configuration of miend", "miend "+version, string(config.Sample), "miend(8)")
	}
	return manual.Page(e.stdout, k.Model, manual.About{Section: "8", Version: version,
		Files: [][2]string{
			{configPath, "The configuration. It says itself what each key means; every key is optional."},
			{"/var/lib/mien", "What miend keeps: models in two slots, messages that wait for the broker."},
		},
		SeeAlso: []string{"mien.yaml(5)", "systemctl(1)", "gpiodetect(1)", "rpicam-vid(1)"}})
}
