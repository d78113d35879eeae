package fleet

import (
	"testing"

	"mien/boards/card"
	"mien/device/appliance"
	"mien/device/update"
)

func TestImageStanding(t *testing.T) {
	st := appliance.State{Newest: 7, Fallen: []update.Fall{{Version: 5, Why: "no network"}}}
	trial := st
	trial.Trial = &appliance.Trial{Version: 7, Slot: card.Slot(1)}
	broken := st
	broken.Problem = "no card"
	for _, c := range []struct {
		st      appliance.State
		version uint64
		want    Standing
	}{
		{st, 7, Proven}, {trial, 7, Trial}, {st, 5, Fallen}, {st, 6, Refused}, {st, 8, ""}, {broken, 8, Refused}, {appliance.State{}, 1, ""},
	} {
		if got, why := imageStanding(c.st, c.version); got != c.want {
			t.Errorf("version %d of %+v: %s (%s), want %q", c.version, c.st, got, why, c.want)
		}
	}
}
