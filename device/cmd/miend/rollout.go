package main

import (
	"slices"

	"mien/device/appliance"
	"mien/device/config"
	"mien/device/fleet"
)

// updaters are those of what may be rolled out to this board.
func (a *app) updaters(cfg *config.Config) map[string]fleet.Updater {
	all := map[string]fleet.Updater{fleet.OfModel: fleet.Models{Store: a.store, Try: func(data []byte, known *fleet.Canary) error { return tryOn(cfg.Model.Engine, data, known) }}}
	if appliance.Below.Here() {
		all[fleet.OfImage] = fleet.Images{Below: appliance.Below}
	}
	for kind := range all {
		if !slices.Contains(cfg.Fleet.Updates, kind) {
			delete(all, kind)
		}
	}
	return all
}
