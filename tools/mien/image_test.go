package main

import (
	"strings"
	"testing"

	"mien/device/config"
)

// The annotated configuration keeps its words, and is right with a name and a
// token; with a name alone its page waits to be set up.
func TestForImage(t *testing.T) {
	named, err := forImage(config.Sample, "hall", "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("mien.yaml", named)
	if err != nil || c.Name != "hall" || !c.Untouched() {
		t.Errorf("named: %q, untouched %v, %v", c.Name, c.Untouched(), err)
	}
	closed, err := forImage(config.Sample, "", "a token of some length")
	if err != nil {
		t.Fatal(err)
	}
	c, err = config.Parse("mien.yaml", closed)
	if err != nil || c.Status.Listen != ":80" || c.Status.Token.IsZero() || c.Untouched() || strings.Contains(string(closed), "a token of") {
		t.Errorf("closed: %+v, %v", c.Status, err)
	}
	if strings.Count(string(closed), "#") != strings.Count(string(config.Sample), "#") {
		t.Error("comments are lost")
	}
}
