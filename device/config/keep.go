package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"mien/runtime/secret"
)

// keptFiles is how many configurations before the present one stay beside it,
// as mien.yaml.1, mien.yaml.2 and so on.
const keptFiles = 16

// Replace writes data as the file at path, all of it or nothing, also when
// power is cut, and keeps the one before for Undo. Its mode and group stay. No
// secret that data no longer has stays in the files before: who changes a password
// wants the old one gone, and Undo leaves the new one in its place.
func Replace(path string, data []byte) error {
	path = followed(path)
	was, mode, err := present(path)
	if err != nil {
		return err
	}
	if was != nil {
		old := kept(path)
		next := 1
		if len(old) > 0 {
			next = old[len(old)-1] + 1
		}
		if err := put(numbered(path, next), path, was, mode); err != nil {
			return err
		}
		for _, n := range old[:max(0, len(old)+1-keptFiles)] {
			_ = os.Remove(numbered(path, n)) // the next time tries again
		}
	}
	if err := put(path, path, data, mode); err != nil {
		return err
	}
	return forget(path, data)
}

// forget takes the secrets that the present file no longer has out of those before.
// One that differs in nothing else is none to go back to.
func forget(path string, data []byte) error {
	for _, n := range kept(path) {
		at := numbered(path, n)
		was, mode, err := present(at)
		if err != nil {
			return err
		}
		now, err := withSecretsOf(data, was)
		switch {
		case err != nil || bytes.Equal(now, data): // where it cannot be taken out the file goes
			if err := os.Remove(at); err != nil {
				return writable(at, err)
			}
		case !bytes.Equal(now, was):
			if err := put(at, at, now, mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// withSecretsOf returns old with the secrets of data in the place of its own, but for
// the password of another broker, which that one is not to be sent.
func withSecretsOf(data, old []byte) ([]byte, error) {
	is, err := ParseWith("the present file", data, Elsewhere)
	if err != nil {
		return nil, err
	}
	had, err := ParseWith("the file before", old, Elsewhere)
	if err != nil {
		return nil, err
	}
	present := newEditor("the present file", data)
	spots, err := present.spots()
	if err != nil {
		return nil, err
	}
	e := newEditor("the file before", old)
	for _, name := range had.Secrets() {
		k, _ := KeyOf(name)
		if same(k, &is.Config, &had.Config) {
			continue
		}
		value := unset(k)
		if s, ok := spots[name]; ok && (k.Name != "mqtt.password" || is.MQTT.Broker.Equal(had.MQTT.Broker)) {
			from, to := present.value(s)
			value = strings.TrimSpace(present.text[from:to])
		}
		if err := e.set(name, value); err != nil {
			return nil, err
		}
	}
	out := e.bytes()
	now, err := ParseWith("the file before", out, Elsewhere)
	if err != nil {
		return nil, err
	}
	for _, name := range now.Secrets() {
		if k, _ := KeyOf(name); !same(k, &is.Config, &now.Config) {
			return nil, fmt.Errorf("%s: %w", name, ErrByHand)
		}
	}
	return out, nil
}

// unset is the value of a secret key in a file that does not have it.
func unset(k Key) string {
	c := Default()
	if u, ok := k.Of(&c).Interface().(secret.URL); ok && !u.IsZero() {
		return u.Reveal()
	}
	return `""`
}

// same says whether a secret key has one value in both.
func same(k Key, a, b *Config) bool {
	return reflect.DeepEqual(k.Of(a).Interface(), k.Of(b).Interface())
}

// Before returns the configuration that Undo takes back, and how many are kept.
func Before(path string) (data []byte, n int, err error) {
	path = followed(path)
	old := kept(path)
	if len(old) == 0 {
		return nil, 0, nil
	}
	data, err = os.ReadFile(numbered(path, old[len(old)-1]))
	return data, len(old), err
}

// Undo puts the configuration before in the place of the present one, which
// is gone.
func Undo(path string) error {
	path = followed(path)
	old := kept(path)
	if len(old) == 0 {
		return fmt.Errorf("config: there is no configuration before %s", path)
	}
	if err := os.Rename(numbered(path, old[len(old)-1]), path); err != nil {
		return writable(path, err)
	}
	return settled(filepath.Dir(path))
}

// followed follows the links of a path, as far as there is a file.
func followed(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return path
}

func present(path string) (data []byte, mode fs.FileMode, err error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0o640, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("config: %w", err)
	}
	data, err = read(path)
	return data, st.Mode().Perm(), err
}

func numbered(path string, n int) string { return path + "." + strconv.Itoa(n) }

// kept are the numbers of the files before, the oldest first.
func kept(path string) (numbers []int) {
	files, err := filepath.Glob(path + ".*")
	if err != nil {
		return nil
	}
	for _, f := range files {
		if n, err := strconv.Atoi(strings.TrimPrefix(f, path+".")); err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// put writes a file by way of another beside it, with the group of like where
// that may be given.
func put(path, like string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".mien-*.yaml")
	if err != nil {
		return writable(path, err)
	}
	defer os.Remove(f.Name())
	if st, err := os.Stat(like); err == nil {
		group(f, st)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return writable(path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return writable(path, err)
	}
	return settled(filepath.Dir(path))
}

// settled makes sure that the names of a folder are on its disk.
func settled(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// writable says what to do about a file that cannot be written.
func writable(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "read-only") {
		return fmt.Errorf("config: %w (the service may not write there: sudo chown mien: %s && sudo chgrp mien %s && sudo chmod 1770 %s, or change the file by hand)",
			err, path, filepath.Dir(path), filepath.Dir(path))
	}
	return fmt.Errorf("config: %w", err)
}

// Faults takes apart what ParseFile and Edit say is wrong with a file: what
// each is about, and what of it.
func Faults(err error, data []byte) (all []KeyError) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			all = append(all, Faults(e, data)...)
		}
		return all
	}
	var key *KeyError
	var place *Error
	switch {
	case err == nil:
	case errors.As(err, &key):
		all = append(all, *key)
	case errors.As(err, &place):
		all = append(all, fault(place, data))
	default:
		all = append(all, KeyError{"", err.Error()})
	}
	return all
}

// fault finds the key of an error: the one that it names, or that of its line.
func fault(e *Error, data []byte) KeyError {
	for _, k := range slices.Backward(Keys()) { // camera.max_rate before camera
		if rest, ok := strings.CutPrefix(e.Message, k.Name); ok && rest != "" && strings.ContainsRune(":.[", rune(rest[0])) {
			return KeyError{k.Name, strings.TrimPrefix(rest, ": ")}
		}
	}
	ed := newEditor(e.File, data)
	all, err := ed.spots()
	if err != nil {
		return KeyError{"", e.Error()}
	}
	for _, k := range Keys() {
		if s, ok := all[k.Name]; ok && strings.Count(ed.text[:s.at], "\n")+1 == e.Line {
			return KeyError{k.Name, e.Message}
		}
	}
	return KeyError{"", e.Error()}
}
