package main

import (
	"bytes"
	"strings"
	"testing"

	"mien/device/config"
	"mien/runtime/zoo"
)

// model.file takes the name of a model inside the program, and what it cannot
// find it answers with those names.
func TestModelByName(t *testing.T) {
	for _, name := range zoo.Names() {
		want, err := zoo.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		got, called, err := modelBytes(config.Model{File: name})
		if err != nil || !bytes.Equal(got, want) || called != name+" (inside miend)" {
			t.Errorf("%s: %d bytes called %q, %v", name, len(got), called, err)
		}
	}
	if _, _, err := modelBytes(config.Model{File: "no-such"}); err == nil || !strings.Contains(err.Error(), zoo.DefaultName) {
		t.Errorf("no-such: %v", err)
	}
}
