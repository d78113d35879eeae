package fleet

import (
	"context"
	"fmt"
	"io"
	"slices"

	"mien/device/update"
)

// Models is an Updater for a store of models.
type Models struct {
	Store update.Store
	// Try opens a model and runs it, as far as that can be done beforehand, on known
	// faces where there are such.
	Try func(model []byte, known *Canary) error
}

// Most implements Updater.
func (Models) Most() int64 { return update.MaxModel }

// Standing implements Updater.
func (m Models) Standing(_ context.Context, o *Order) (Standing, string, error) {
	st, err := m.Store.State()
	if err != nil {
		return "", "", err
	}
	if c := st.Current; c != nil && c.Version == o.Version && c.SHA256 == o.SHA256 {
		if st.Trial {
			return Trial, "", nil
		}
		return Proven, "", nil
	}
	for _, f := range slices.Backward(st.Fallen) {
		if f.Version == o.Version {
			return Fallen, f.Why, nil
		}
	}
	if o.Version <= st.Newest {
		return Refused, fmt.Sprintf("version %d is not newer than %d, which was installed already: models only go forward", o.Version, st.Newest), nil
	}
	return "", "", nil
}

// Install implements Updater.
func (m Models) Install(_ context.Context, o *Order, file io.Reader, known *Canary) error {
	model, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	said, err := update.Verify(model, []byte(o.Signature), m.Store.Keys)
	if err != nil {
		return err
	}
	if said.Version != o.Version {
		return fmt.Errorf("the model is signed as version %d and ordered as %d", said.Version, o.Version)
	}
	return m.Store.Install(model, []byte(o.Signature), func(model []byte) error { return m.Try(model, known) })
}

// Leave implements Updater.
func (m Models) Leave(_ context.Context, o *Order, why string) error {
	return m.Store.Reject(&update.Slot{SHA256: o.SHA256, Version: o.Version}, why)
}
