// Package update keeps a device's model in two slots, so that it always has
// one that works: a new model is checked and written beside the old one, runs
// on trial, and gives way to the old one when it does not prove itself. Cutting
// the power at any moment leaves either the old state or the new one.
//
// Models only go forward. Each is signed, and what its signer says of it, in
// the trusted comment of minisign's format, which the signature covers, carries
// a version: "version:7", or else the "timestamp:1764316800" that minisign
// writes by itself. A version that is not higher than every one before is
// refused, so that nobody can bring an old model back by sending it again.
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
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"aead.dev/minisign"

	"mien/runtime/atomicfile"
	"mien/runtime/lockfile"
	"mien/runtime/plainfile"
)

// maxTrials is how often a new model may be started without proving itself.
// Two, not one, because a device may lose its power once for reasons of its own.
const maxTrials = 2

// The most that is read of a file, in bytes.
const (
	MaxModel = 64 << 20 // also of one that the configuration names
	maxText  = 16 << 10 // a signature, a key
	maxState = 256 << 10
)

// patience is how long a change waits for another one to be done: an update
// writes a whole model to a card that may be slow.
const patience = 30 * time.Second

// Store is the folder of the two slots. Several processes may use it: changes
// are made one at a time.
type Store struct {
	Dir  string
	Keys []minisign.PublicKey // whose models are trusted

	// fail is asked before each change of the disk; tests stop there, as a
	// power cut would.
	fail func(step string) error
}

// The files of the folder. state is the only one that says which slot counts,
// and it is replaced whole; the copy is for when it cannot be read.
const (
	slotA     = "a.tflite"
	slotB     = "b.tflite"
	stateFile = "state.json"
	copyFile  = "state.copy.json"
)

// State is what the folder says.
type State struct {
	Current  *Slot  `json:"current,omitempty"`
	Previous *Slot  `json:"previous,omitempty"` // has proven itself
	Trial    bool   `json:"trial,omitempty"`    // Current has not proven itself yet
	Starts   int    `json:"starts,omitempty"`   // of Current while on trial
	Newest   uint64 `json:"newest,omitempty"`   // the highest version that was installed
	Fallen   []Fall `json:"fallen,omitempty"`   // the last models that gave way, newest last
}

// Slot is a model on disk.
type Slot struct {
	File      string `json:"file"`
	SHA256    string `json:"sha256"`
	Name      string `json:"name"` // as its signer called it
	Version   uint64 `json:"version"`
	Signature string `json:"signature"` // in minisign's format; checked at each start
}

// Fall is a model that gave way to the one before.
type Fall struct {
	Time    time.Time `json:"time"`
	Name    string    `json:"name"`
	Version uint64    `json:"version"`
	Why     string    `json:"why"`
}

func (f Fall) String() string {
	return fmt.Sprintf("%s (version %d) gave way to the model before: %s", f.Name, f.Version, f.Why)
}

// mostFallen is how many falls are remembered.
const mostFallen = 10

// fall puts the model before in the place of the current one.
func (st *State) fall(why string) Fall {
	f := Fall{time.Now().UTC().Truncate(time.Second), st.Current.Name, st.Current.Version, why}
	st.Fallen = append(st.Fallen, f)
	st.Fallen = slices.Clone(st.Fallen[max(0, len(st.Fallen)-mostFallen):])
	st.Current, st.Previous, st.Trial, st.Starts = st.Previous, nil, false, 0
	return f
}

// Install checks a signed model and makes it the current one, on trial. try
// opens the model and runs it, as far as that can be done beforehand.
func (s Store) Install(model, signature []byte, try func([]byte) error) error {
	said, err := Verify(model, signature, s.Keys)
	if err != nil {
		return err
	}
	st, err := s.State()
	if err != nil {
		return err
	}
	if err := st.admits(said); err != nil {
		return err
	}
	if err := try(model); err != nil {
		return fmt.Errorf("update: the model is signed well but does not run here; nothing is changed: %w", err)
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return s.locked(func() error {
		return s.install(model, Slot{SHA256: digest(model), Name: said.Name, Version: said.Version, Signature: string(signature)})
	})
}

// admits says why a model may not follow those that were there.
func (st *State) admits(said Statement) error {
	if said.Version <= st.Newest {
		return fmt.Errorf("update: the signed version %d of the model is not newer than %d, which was installed already: models only go forward (sign it again with a higher version: minisign -Sm FILE -t version:%d)",
			said.Version, st.Newest, st.Newest+1)
	}
	return nil
}

func (s Store) install(model []byte, slot Slot) error {
	if err := s.clean(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	st, err := s.State()
	if err != nil {
		return err
	}
	if err := st.admits(Statement{slot.Name, slot.Version}); err != nil { // another update was faster
		return err
	}
	// The slot of the proven model stays. That is the one before while a model
	// is on trial, and also when the current one cannot be read any more.
	keep := s.proven(&st)
	slot.File = slotA
	if keep != nil && keep.File == slotA {
		slot.File = slotB
	}
	if st.Current != nil && st.Current != keep { // from here on it no longer counts
		before := st
		before.Current, before.Previous, before.Trial, before.Starts = keep, nil, false, 0
		if err := s.save(before); err != nil {
			return err
		}
	}
	if err := s.write(slot.File, model); err != nil {
		return err
	}
	st.Current, st.Previous, st.Trial, st.Starts, st.Newest = &slot, keep, true, 0, slot.Version
	return s.save(st)
}

// proven is the model that has proven itself and is intact, the current one
// before the one before; nil if there is none.
func (s Store) proven(st *State) *Slot {
	for _, slot := range []*Slot{st.Current, st.Previous} {
		if slot == nil || slot == st.Current && st.Trial {
			continue
		}
		if _, err := s.load(slot); !errors.Is(err, errDamaged) {
			return slot
		}
	}
	return nil
}

// Statement is what the signer of a model says of it.
type Statement struct {
	Name    string
	Version uint64
}

// statement reads a trusted comment: fields "version:N", "file:NAME" and
// "timestamp:N", with tabs or blanks between, as minisign writes the latter
// two. A comment without a file's name is a name as a whole.
func statement(comment string) (said Statement, err error) {
	fields := map[string]string{}
	for _, f := range strings.Fields(comment) {
		if key, value, ok := strings.Cut(f, ":"); ok && fields[key] == "" {
			fields[key] = value
		}
	}
	version := fields["version"]
	if version == "" {
		version = fields["timestamp"]
	}
	if version == "" {
		return said, errors.New("update: the signature says no version of the model (sign it with: minisign -Sm FILE, which puts the time there, or with -t version:N)")
	}
	if said.Version, err = strconv.ParseUint(version, 10, 64); err != nil || said.Version == 0 {
		return said, fmt.Errorf("update: the signature says version %.30q, which is no number above 0", version)
	}
	if said.Name = fields["file"]; said.Name == "" {
		said.Name = comment
	}
	said.Name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(said.Name, "?"))
	if len(said.Name) > 100 {
		said.Name = strings.ToValidUTF8(said.Name[:100], "") + "..."
	}
	return said, nil
}

// Claims returns what a signature says, which nobody has checked.
func Claims(signature []byte) (Statement, error) {
	var sig minisign.Signature
	if err := sig.UnmarshalText(signature); err != nil {
		return Statement{}, fmt.Errorf("update: the signature is not in minisign's format: %w", err)
	}
	return statement(sig.TrustedComment)
}

// Verify checks a signature in minisign's format and returns what its signer
// says, which the signature covers too.
func Verify(data, signature []byte, keys []minisign.PublicKey) (Statement, error) {
	return verify(signature, keys, func(k minisign.PublicKey) bool { return minisign.Verify(k, data, signature) })
}

// VerifyReader is Verify for what is too large for memory: r is read to its end.
// The signature has to be of the kind that minisign makes today, over a hash.
func VerifyReader(r io.Reader, signature []byte, keys []minisign.PublicKey) (Statement, error) {
	sum := minisign.NewReader(r)
	if _, err := io.Copy(io.Discard, sum); err != nil {
		return Statement{}, fmt.Errorf("update: %w", err)
	}
	return verify(signature, keys, func(k minisign.PublicKey) bool { return sum.Verify(k, signature) })
}

func verify(signature []byte, keys []minisign.PublicKey, fits func(minisign.PublicKey) bool) (Statement, error) {
	if len(keys) == 0 {
		return Statement{}, errors.New("update: no public key is installed, so nothing can be trusted (put the signer's minisign.pub into /etc/mien/keys)")
	}
	var sig minisign.Signature
	if err := sig.UnmarshalText(signature); err != nil {
		return Statement{}, fmt.Errorf("update: the signature is not in minisign's format: %w", err)
	}
	known := false
	for _, k := range keys { // an id is no secret: more than one key may bear it
		if k.ID() != sig.KeyID {
			continue
		}
		known = true
		if fits(k) {
			return statement(sig.TrustedComment)
		}
	}
	if known {
		return Statement{}, fmt.Errorf("update: the signature by key %X does not fit what it is for: one of them was changed", sig.KeyID)
	}
	return Statement{}, fmt.Errorf("update: the signature is by key %X, which is not installed in /etc/mien/keys", sig.KeyID)
}

// Keys reads the public keys (*.pub) of a folder; there may be none. bad says
// which files are no keys: they do not keep the others from counting.
func Keys(dir string) (keys []minisign.PublicKey, bad []error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return nil, []error{fmt.Errorf("update: %w", err)}
	}
	for _, n := range names {
		text, err := plainfile.Read(n, maxText)
		var k minisign.PublicKey
		if err == nil {
			err = k.UnmarshalText(text)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("update: %s is no public key of minisign and is left out: %w", n, err))
			continue
		}
		keys = append(keys, k)
	}
	return keys, bad
}

// Start returns the model to run, for a program that starts; nil when there is
// none and the one inside the program serves. It counts the starts of a model
// on trial and takes the one before when there were too many, and it passes
// over a model whose file is damaged or whose signature is not trusted. Which
// have given way now, and why, is in fallen. With an error there may be a model
// too: it runs, and nothing was noted.
func (s Store) Start() (model []byte, slot *Slot, fallen []Fall, err error) {
	err = s.locked(func() error {
		st, err := s.State()
		if err != nil {
			return err
		}
		changed := false
		fall := func(why string) {
			fallen, changed = append(fallen, st.fall(why)), true
		}
		if st.Trial && st.Starts >= maxTrials {
			fall(fmt.Sprintf("it did not prove itself in %d starts", maxTrials))
		}
		for now := st; now.Current != nil; {
			if model, err = s.load(now.Current); err == nil {
				slot = now.Current
				break
			}
			if errors.Is(err, errDamaged) && now.Current == st.Current {
				fall(err.Error())
				now = st
				continue
			}
			// It may be readable, and trusted, another time.
			fallen = append(fallen, now.fall(err.Error()))
		}
		if slot != nil && st.Trial && slot == st.Current {
			st.Starts++
			changed = true
		}
		if !changed {
			return nil
		}
		return s.save(st)
	})
	if err != nil && slot == nil { // nothing can be counted there: it is run as it is
		model, slot, _ = s.Current()
	}
	return model, slot, fallen, err
}

// Current returns the model that is current, without counting it as a start.
func (s Store) Current() (model []byte, slot *Slot, err error) {
	st, err := s.State()
	if err != nil {
		return nil, nil, err
	}
	for _, slot := range []*Slot{st.Current, st.Previous} {
		if slot == nil {
			continue
		}
		if model, err := s.load(slot); err == nil {
			return model, slot, nil
		}
	}
	return nil, nil, nil
}

// errDamaged is a model that will never be what was installed again.
var errDamaged = errors.New("its file is damaged")

// load reads the model of a slot and checks that it is the one that was
// installed, and that its signature is trusted still.
func (s Store) load(slot *Slot) ([]byte, error) {
	data, err := plainfile.Read(filepath.Join(s.Dir, slot.File), MaxModel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	if digest(data) != slot.SHA256 {
		return nil, errDamaged
	}
	if slot.Signature == "" {
		return nil, errors.New("older firmware installed it without keeping its signature (install it again)")
	}
	said, err := Verify(data, []byte(slot.Signature), s.Keys)
	if err != nil {
		return nil, err
	}
	if said.Version != slot.Version {
		return nil, fmt.Errorf("it is signed as version %d and was noted as %d", said.Version, slot.Version)
	}
	return data, nil
}

// Healthy says that this model works: if it is on trial, that is over.
func (s Store) Healthy(slot *Slot) error {
	return s.locked(func() error {
		st, err := s.State()
		if err != nil || !st.Trial || !st.Current.is(slot) {
			return err
		}
		st.Trial, st.Starts = false, 0
		return s.save(st)
	})
}

// Reject says that this model does not work: it gives way to the one before.
func (s Store) Reject(slot *Slot, why string) error {
	return s.locked(func() error {
		st, err := s.State()
		if err != nil || !st.Current.is(slot) {
			return err
		}
		st.fall(why)
		return s.save(st)
	})
}

func (s *Slot) is(other *Slot) bool {
	return s != nil && other != nil && s.SHA256 == other.SHA256 && s.Version == other.Version
}

// Rollback goes back to the model before, or to the one inside the program.
func (s Store) Rollback() error {
	return s.locked(func() error {
		st, err := s.State()
		if err != nil || st.Current == nil {
			return err
		}
		st.fall("somebody asked for it")
		return s.save(st)
	})
}

// State reads what the folder says. A folder that is not there is an empty
// one, and so is one whose state is damaged, and its copy too: the model inside
// the program serves then.
func (s Store) State() (State, error) {
	for _, name := range []string{stateFile, copyFile} {
		data, err := plainfile.Read(filepath.Join(s.Dir, name), maxState)
		if errors.Is(err, fs.ErrPermission) {
			return State{}, fmt.Errorf("update: %w", err)
		}
		var st State
		if err == nil && json.Unmarshal(data, &st) == nil && st.sound() {
			return st, nil
		}
	}
	return State{}, nil
}

// sound reports whether a state is one that was written here.
func (st *State) sound() bool {
	for _, slot := range []*Slot{st.Current, st.Previous} {
		if slot != nil && slot.File != slotA && slot.File != slotB {
			return false
		}
	}
	return st.Current != nil || st.Previous == nil && !st.Trial && st.Newest > 0
}

func (s Store) save(st State) error {
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if err := s.write(stateFile, data); err != nil {
		return err
	}
	return s.write(copyFile, data)
}

// locked makes a change while no other process makes one. In a folder that is
// not there nothing can be changed.
func (s Store) locked(change func() error) error {
	if _, err := os.Stat(s.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockfile.Take(filepath.Join(s.Dir, lockfile.Name), patience)
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return errors.Join(change(), lock.Release())
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

// prepare makes the folder. Made by root it belongs to whom the folder above belongs to, the
// firmware's own user, who has to write there too.
func (s Store) prepare() error {
	if _, err := os.Stat(s.Dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(s.Dir, 0o750); err != nil {
			return err
		}
		return belongAsAbove(s.Dir)
	}
	return nil
}

// clean clears away what updates that were cut short have left. Only who has
// the lock may.
func (s Store) clean() error {
	for _, name := range []string{slotA, slotB, stateFile, copyFile} {
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
	if model, err = plainfile.Read(path, MaxModel); err != nil {
		return nil, nil, fmt.Errorf("update: the model: %w", err)
	}
	if signature, err = plainfile.Read(path+".minisig", maxText); err != nil {
		return nil, nil, fmt.Errorf("update: the signature beside the model: %w (sign it with: minisign -Sm %s)", err, path)
	}
	return model, signature, nil
}
