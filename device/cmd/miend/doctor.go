package main

type doctorCmd struct {
	configFlag
	JSON bool `help:"Print JSON."`
}

// Run is to come.
func (doctorCmd) Run(e env) error { return nil }
