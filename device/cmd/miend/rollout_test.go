package main

import (
	"testing"

	"mien/device/appliance"
	"mien/device/config"
	"mien/device/fleet"
)

// What a board takes is what its configuration names, and an image only where one
// runs.
func TestUpdatersAreThoseConfigured(t *testing.T) {
	cfg := config.Default()
	a := &app{}
	if u := a.updaters(&cfg); len(u) != 0 {
		t.Errorf("by default %v", u)
	}
	cfg.Fleet.Updates = []string{fleet.OfModel, fleet.OfImage}
	if u := a.updaters(&cfg); u[fleet.OfModel] == nil || (u[fleet.OfImage] != nil) != appliance.Below.Here() {
		t.Errorf("%v", u)
	}
}
