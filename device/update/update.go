// Package update keeps a device's model in two slots, so that it always has
// one that works: a new model is checked and written beside the old one, runs
// on trial, and gives way to the old one when it does not prove itself. Cutting
// the power at any moment leaves either the old state or the new one.
package update

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"aead.dev/minisign"

	"mien/runtime/atomicfile"
)

// maxTrials is how often a new model may be started without proving itself.
// Two, not one, because a device may lose its power once for reasons of its own.
const maxTrials = 2

// maxModel bounds the size of a model, in bytes.
const maxModel = 64 << 20

// Store is the folder of the two slots. Several processes may read it; one at
// a time may change it.
type Store struct {
	Dir string

	// fail is asked before each change of the disk; tests stop there, as a
	// power cut would.
	fail func(step string) error
}

// The files of the folder. state is the only one that says which slot counts,
// and it is replaced whole.
const (
	slotA     = "a.tflite"
	slotB     = "b.tflite"
	stateFile = "state.json"
)

// State is what the folder says.
type State struct {
	Current  *Slot `json:"current,omitempty"`
	Previous *Slot `json:"previous,omitempty"`
	Trial    bool  `json:"trial,omitempty"`  // Current has not proven itself yet
	Starts   int   `json:"starts,omitempty"` // of Current while on trial
}

// Slot is a model on disk.
type Slot struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	Name   string `json:"name"` // as its signer called it
}

// Install checks a signed model and makes it the current one, on trial. try
// opens the model and runs it, as far as that can be done beforehand.
func (s Store) Install(model, signature []byte, keys []minisign.PublicKey, try func([]byte) error) error {
	name, err := Verify(model, signature, keys)
	if err != nil {
		return err
	}
	if err := try(model); err != nil {
		return fmt.Errorf("update: the model is signed well but does not run here; nothing is changed: %w", err)
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	st, err := s.State()
	if err != nil {
		return err
	}
	// The slot that is not in use. While a model is on trial that is the one
	// before it, which has to stay: the trial model gives its slot up.
	keep := st.Current
	if st.Trial {
		keep = st.Previous
	}
	file := slotA
	if keep != nil && keep.File == slotA {
		file = slotB
	}
	if st.Trial { // from here on the trial model no longer counts
		if err := s.save(State{Current: keep}); err != nil {
			return err
		}
	}
	if err := s.write(file, model); err != nil {
		return err
	}
	return s.save(State{Current: &Slot{file, digest(model), name}, Previous: keep, Trial: true})
}

// Verify checks a signature in minisign's format and returns its trusted
// comment, which the signature covers too.
func Verify(model, signature []byte, keys []minisign.PublicKey) (comment string, err error) {
	if len(keys) == 0 {
		return "", errors.New("update: no public key is installed, so no model can be trusted (put the signer's minisign.pub into /etc/mien/keys)")
	}
	var sig minisign.Signature
	if err := sig.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("update: the signature is not in minisign's format: %w", err)
	}
	for _, k := range keys {
		if k.ID() == sig.KeyID {
			if !minisign.Verify(k, model, signature) {
				return "", fmt.Errorf("update: the signature by key %X does not fit the model: one of them was changed", k.ID())
			}
			return sig.TrustedComment, nil
		}
	}
	return "", fmt.Errorf("update: the model is signed by key %X, which is not installed in /etc/mien/keys", sig.KeyID)
}

// Keys reads the public keys (*.pub) of a folder. There may be none.
func Keys(dir string) ([]minisign.PublicKey, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return nil, fmt.Errorf("update: %w", err)
	}
	var keys []minisign.PublicKey
	for _, n := range names {
		k, err := minisign.PublicKeyFromFile(n)
		if err != nil {
			return nil, fmt.Errorf("update: %s is no public key of minisign: %w", n, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Start returns the model to run, for a program that starts; nil when there is
// none and the one inside the program serves. It counts the starts of a model
// on trial and takes the one before when there were too many, and it passes
// over a model whose file is damaged.
func (s Store) Start() (model []byte, slot *Slot, err error) {
	st, err := s.State()
	if err != nil {
		return nil, nil, err
	}
	if st.Trial {
		if st.Starts >= maxTrials {
			st = State{Current: st.Previous}
		} else {
			st.Starts++
		}
		if err := s.save(st); err != nil {
			return nil, nil, err
		}
	}
	model, slot = s.read(st)
	return model, slot, nil
}

// Current returns the model that is current, without counting it as a start.
func (s Store) Current() (model []byte, slot *Slot, err error) {
	st, err := s.State()
	if err != nil {
		return nil, nil, err
	}
	model, slot = s.read(st)
	return model, slot, nil
}

// read returns the first model of st that is intact, or nil.
func (s Store) read(st State) ([]byte, *Slot) {
	for _, slot := range []*Slot{st.Current, st.Previous} {
		if slot == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.Dir, slot.File))
		if err == nil && digest(data) == slot.SHA256 {
			return data, slot
		}
	}
	return nil, nil
}

// Healthy says that the current model works: its trial is over.
func (s Store) Healthy() error {
	st, err := s.State()
	if err != nil || !st.Trial {
		return err
	}
	return s.save(State{Current: st.Current, Previous: st.Previous})
}

// Rollback goes back to the model before, or to the one inside the program.
func (s Store) Rollback() error {
	st, err := s.State()
	if err != nil || st.Current == nil {
		return err
	}
	return s.save(State{Current: st.Previous})
}

// State reads what the folder says. A folder that is not there is an empty
// one, and so is a damaged state: the model inside the program serves then.
func (s Store) State() (State, error) {
	data, err := os.ReadFile(filepath.Join(s.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("update: %w", err)
	}
	var st State
	if err := json.Unmarshal(data, &st); err != nil {
		return State{}, nil
	}
	for _, slot := range []**Slot{&st.Current, &st.Previous} {
		if *slot != nil && (*slot).File != slotA && (*slot).File != slotB {
			*slot = nil
		}
	}
	return st, nil
}

func (s Store) save(st State) error {
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return s.write(stateFile, append(data, '\n'))
}

// write replaces a file of the folder whole: a reader, and a start after a
// power cut, find the old content or the new.
func (s Store) write(name string, data []byte) error {
	path := filepath.Join(s.Dir, name)
	err := s.step("create " + name)
	if err == nil {
		err = atomicfile.Replace(path, func(w io.Writer) error {
			half := len(data) / 2
			if _, err := w.Write(data[:half]); err != nil {
				return err
			}
			if err := s.step("write " + name); err != nil {
				return err
			}
			_, err := w.Write(data[half:])
			return err
		})
	}
	if err == nil {
		err = s.step("after " + name)
	}
	if err != nil {
		return fmt.Errorf("update: %s: %w", path, err)
	}
	return nil
}

// prepare makes the folder, and clears away what updates that were cut short
// have left. Made by root it belongs to whom the folder above belongs to, the
// firmware's own user, who has to write there too.
func (s Store) prepare() error {
	if _, err := os.Stat(s.Dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(s.Dir, 0o750); err != nil {
			return err
		}
		above, err := os.Stat(filepath.Dir(s.Dir))
		if err != nil {
			return err
		}
		if owner, ok := above.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			if err := os.Chown(s.Dir, int(owner.Uid), int(owner.Gid)); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{slotA, slotB, stateFile} {
		if err := atomicfile.Clean(filepath.Join(s.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s Store) step(name string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(name)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// ReadModel reads a model and the signature beside it (FILE.minisig).
func ReadModel(path string) (model, signature []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("update: %w", err)
	}
	if info.Size() > maxModel {
		return nil, nil, fmt.Errorf("update: %s: %d bytes are too many for a model (at most %d)", path, info.Size(), maxModel)
	}
	if model, err = os.ReadFile(path); err != nil {
		return nil, nil, fmt.Errorf("update: %w", err)
	}
	if signature, err = os.ReadFile(path + ".minisig"); err != nil {
		return nil, nil, fmt.Errorf("update: the signature beside the model: %w (sign it with: minisign -Sm %s)", err, path)
	}
	return model, signature, nil
}
