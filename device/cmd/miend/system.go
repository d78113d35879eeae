package main

import (
	"context"
	"errors"
	"io"

	"mien/device/appliance"
	"mien/device/status"
)

// belowUs is the card image's first process, as the page asks it.
type belowUs struct{ *appliance.System }

// Now implements status.System.
func (b belowUs) Now(ctx context.Context) (any, error) {
	st, err := b.System.Now(ctx)
	return struct {
		Note string `json:"note"`
		appliance.State
	}{appliance.Note, st}, err
}

// Update implements status.System.
func (b belowUs) Update(ctx context.Context, image io.Reader, signature []byte) error {
	err := b.System.Update(ctx, image, signature)
	if errors.Is(err, appliance.ErrBusy) {
		return status.ErrBusy
	}
	return err
}
