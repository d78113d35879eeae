package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"mien/device/appliance"
	"mien/device/internal/retry"
)

// Images is an Updater that has the first process of the card image take the next one.
// That tries it, and confirms it or goes back, by itself.
type Images struct{ Below *appliance.System }

// Most implements Updater: as much as the page takes.
func (Images) Most() int64 { return 128 << 20 }

// Standing implements Updater.
func (i Images) Standing(ctx context.Context, o *Order) (Standing, string, error) {
	st, err := i.Below.Now(ctx)
	if err != nil {
		return "", "", err
	}
	s, why := imageStanding(st, o.Version)
	return s, why, nil
}

func imageStanding(st appliance.State, version uint64) (Standing, string) {
	if st.Trial != nil && st.Trial.Version == version {
		return Trial, ""
	}
	for _, f := range slices.Backward(st.Fallen) {
		if f.Version == version {
			return Fallen, f.Why
		}
	}
	switch {
	case version == st.Newest:
		return Proven, ""
	case version < st.Newest:
		return Refused, fmt.Sprintf("version %d is not newer than %d, which was taken already: images only go forward", version, st.Newest)
	case st.Problem != "":
		return Refused, st.Problem
	}
	return "", ""
}

// Install implements Updater.
func (i Images) Install(ctx context.Context, o *Order, file io.Reader, _ *Canary) error {
	for {
		err := i.Below.Update(ctx, file, []byte(o.Signature))
		if !errors.Is(err, appliance.ErrBusy) || ctx.Err() != nil {
			return err
		}
		retry.Pause(ctx, lookSoon) // somebody hands one over by the page
	}
}

// Leave implements Updater.
func (Images) Leave(context.Context, *Order, string) error {
	return errors.New("images only go forward: roll the one before out again, signed with a higher version")
}
