package main

import (
	"encoding/xml"
	"io"
	"os"
	"strings"
	"testing"
)

// The committed diagram is what the machine does today.
func TestDiagramIsUpToDate(t *testing.T) {
	got, err := diagram()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../timing.svg")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Error("device/signal/timing.svg differs from the machine's run: go generate ./device/signal")
	}
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

// The run shows every line moving, or the diagram explains nothing.
func TestRunMovesEveryLine(t *testing.T) {
	ts, _, err := record()
	if err != nil {
		t.Fatal(err)
	}
	moved := map[string]int{}
	for _, x := range ts {
		moved[x.Line]++
	}
	for _, l := range lines {
		if moved[l] < 2 {
			t.Errorf("%s moves %d times", l, moved[l])
		}
	}
}
