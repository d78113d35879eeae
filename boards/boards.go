// Package boards knows the boards that mien runs on: which lines their header
// has, where the camera is, how many threads to give the model. Each board is
// one file of this folder, with the source of every fact in it; Detect says
// which one a machine is. Adding a board is adding a file.
package boards

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Board is one board, as its file describes it.
type Board struct {
	Name  string `json:"name"`  // as in make firmware BOARD=name
	Title string `json:"title"` // as people call it
	Arch  string `json:"arch"`  // GOARCH

	Match Match `json:"match"`

	// Layout says what the header is like: RaspberryPi or Coral, or "" where
	// there is none of 40 pins.
	Layout string `json:"layout,omitempty"`

	// Header holds the pins of the header that are free for signals: those
	// with a bus or a fixed function are left out.
	Header []Pin `json:"header,omitempty"`

	Camera   string `json:"camera"`             // "rpicam" or a device such as "/dev/video0"
	Cores    int    `json:"cores"`              // of the processor; 0 when it varies
	Threads  int    `json:"threads"`            // for the model; one core stays free
	Engine   string `json:"engine"`             // "tflite" or "portable"
	Delegate string `json:"delegate,omitempty"` // "edgetpu", with the processor as fallback

	Thermal  []string `json:"thermal,omitempty"`  // types of the thermal zones to watch
	Throttle string   `json:"throttle,omitempty"` // "vcgencmd" where the firmware can be asked about under-voltage

	// System is the oldest system that the board's maker ships, which sets the
	// C library's version that a program may ask for, and the kernel's.
	System System `json:"system"`

	// Sources says where each of the facts above comes from, by the name of
	// its key.
	Sources map[string]string `json:"sources"`
}

// The layouts of a header. Coral has 40 pins too, with power and ground where
// the Raspberry Pi has them, but other lines.
const (
	RaspberryPi = "raspberry-pi"
	Coral       = "coral"
)

// Match says how a board is recognised. All that is given must hold.
type Match struct {
	// Compatible is an entry of the device tree's /compatible.
	Compatible string `json:"compatible,omitempty"`
	// Model is a part of the device tree's /model, for boards that share an
	// entry with others.
	Model string `json:"model,omitempty"`
	// USB lists devices, as vendor:product; one of them must be plugged in.
	USB []string `json:"usb,omitempty"`
	// NoDeviceTree asks that there be none, as on a PC.
	NoDeviceTree bool `json:"noDeviceTree,omitempty"`
}

// Pin is one pin of the header.
type Pin struct {
	Number int    `json:"pin"`            // on the header
	Line   string `json:"line,omitempty"` // the GPIO line's name; empty where the kernel names none
	Chip   string `json:"chip"`           // label of the GPIO chip
	Offset int    `json:"offset"`         // of the line within the chip
}

// Name is what a configuration calls the pin: by its line where the kernel
// names that, else by its place, "header 13".
func (p Pin) Name() string {
	if p.Line != "" {
		return p.Line
	}
	return p.Place()
}

// Place names the pin by its number: "header 13".
func (p Pin) Place() string { return fmt.Sprintf("header %d", p.Number) }

// System is what a board runs.
type System struct {
	Name   string `json:"name"`
	Glibc  string `json:"glibc"`
	Kernel string `json:"kernel"`
}

//go:embed *.json
var files embed.FS

// All returns every board, sorted by name.
func All() ([]Board, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var all []Board
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		var b Board
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&b); err != nil {
			return nil, fmt.Errorf("boards: %s: %w", e.Name(), err)
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Board) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// ByName returns the board of that name.
func ByName(name string) (Board, error) {
	all, err := All()
	if err != nil {
		return Board{}, err
	}
	var names []string
	for _, b := range all {
		if b.Name == name {
			return b, nil
		}
		names = append(names, b.Name)
	}
	return Board{}, fmt.Errorf("boards: no board %q; there are %s", name, strings.Join(names, ", "))
}

// PinName returns what the kernel calls a pin that a configuration names by
// its place, "header 11"; every other name it returns as it is.
func (b *Board) PinName(name string) string {
	for _, p := range b.Header {
		if p.Place() == name {
			return p.Name()
		}
	}
	return name
}
