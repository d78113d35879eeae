package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pictureTypes are the endings of what can be read (prepare.go decodes them).
var pictureTypes = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"}

// splits are the folders and columns that name a published split. What people
// call validation validates: it never becomes a test.
var splits = map[string]string{
	"train": Train, "training": Train,
	"val": Val, "valid": Val, "validation": Val, "dev": Val,
	"test": Test, "testing": Test, "publictest": Test,
	"privatetest": Private, "private": Private,
}

// wrappers are folders that stand between a set and its classes in copies of
// it, and mean nothing.
var wrappers = []string{"images", "image", "img", "data", "dataset", "faces", "fer2013", "fer-2013", "archive"}

// folders lists the folders in a folder, without hidden ones and those that
// archives made on a Mac carry.
func folders(dir string) ([]string, error) {
	all, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		info, err := os.Stat(filepath.Join(dir, e.Name())) // follows links
		if err == nil && info.IsDir() && e.Name()[0] != '.' && e.Name() != "__MACOSX" {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// first returns the path of the first of the names that is in a folder, "" where
// none is.
func first(dir string, names ...string) (path string, err error) {
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// within returns where in a set's folder its tables lie: at the top, "", or where
// none is there in the only folder, as an archive may unpack.
func within(dir string, tables ...string) (rel string, err error) {
	if path, err := first(dir, tables...); path != "" || err != nil {
		return "", err
	}
	subs, err := folders(dir)
	if err != nil || len(subs) != 1 {
		return "", err
	}
	below, err := within(filepath.Join(dir, subs[0]), tables...)
	return filepath.Join(subs[0], below), err
}

// pictures lists the image files in a folder and counts what else lies there.
func (l *listing) pictures(dir string) ([]string, error) {
	all, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		if e.IsDir() {
			continue
		}
		ext := strings.ToLower(filepath.Ext(e.Name()))
		switch {
		case e.Name()[0] == '.':
			l.skip("hidden files")
		case slices.Contains(pictureTypes, ext):
			out = append(out, e.Name())
		case ext == "":
			l.skip("files without an ending")
		default:
			l.skip(ext + " files")
		}
	}
	return out, nil
}

func readDir(dir string) ([]os.DirEntry, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", dir)
	}
	return os.ReadDir(dir)
}

// classes lists the pictures of a tree of class folders, which may stand in
// folders of splits, and those in folders that mean nothing. Says tells what a
// folder's name says of its pictures; ok is false for a name that is no class.
type classes struct {
	dir  string
	says func(folder string) (s said, ok bool)
	want string // the classes there are, for errors
	into *listing
}

// list walks the folder rel of the set; split is that of a folder above.
func (c *classes) list(rel, split string) error {
	loose, err := c.into.pictures(filepath.Join(c.dir, rel))
	if err != nil {
		return err
	}
	for range loose {
		c.into.skip("pictures in no class folder")
	}
	subs, err := folders(filepath.Join(c.dir, rel))
	if err != nil {
		return err
	}
	for _, sub := range subs {
		path := filepath.Join(rel, sub)
		name := strings.ToLower(sub)
		say, ok := c.says(sub)
		var err error
		switch {
		case ok:
			err = c.class(path, split, say)
		case split == "" && splits[name] != "":
			err = c.list(path, splits[name])
		case slices.Contains(wrappers, name) || len(subs) == 1 && c.wraps(path):
			err = c.list(path, split)
		default:
			err = fmt.Errorf("%s: the folder %q is no class and no split (%s)", filepath.Join(c.dir, path), sub, c.want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wraps tells whether a folder stands between the set and its classes.
func (c *classes) wraps(rel string) bool {
	below, err := folders(filepath.Join(c.dir, rel))
	return err == nil && len(below) > 0
}

// class lists the pictures of one class, also those in folders below.
func (c *classes) class(rel, split string, say said) error {
	names, err := c.into.pictures(filepath.Join(c.dir, rel))
	if err != nil {
		return err
	}
	for _, n := range names {
		c.into.items = append(c.into.items, item{path: filepath.Join(rel, n), says: []said{say}, published: split})
	}
	below, err := folders(filepath.Join(c.dir, rel))
	if err != nil {
		return err
	}
	for _, sub := range below {
		if err := c.class(filepath.Join(rel, sub), split, say); err != nil {
			return err
		}
	}
	return nil
}
