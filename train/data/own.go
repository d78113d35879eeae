package data

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// Sets of the user's own: folders whose names are the labels of one head, and
// tables that name pictures and their labels.

func listFolders(dir string, heads []model.Head) (*listing, error) {
	names, err := classNames(dir, "")
	if err != nil {
		return nil, err
	}
	h, err := headOf(heads, names)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if h.Measures() {
		return nil, fmt.Errorf("%s: head %s is a number (%s), which folders cannot say: name the pictures in a manifest, with a column %s", dir, h.Name, h.Say(), h.Name)
	}
	l := &listing{}
	c := classes{dir: dir, want: fmt.Sprintf("head %s has %s", h.Name, strings.Join(h.Labels, ", ")), into: l,
		says: func(folder string) (said, bool) { return named(h.Name, folder), labelOf(h, folder) != NoLabel }}
	return l, c.list("", "")
}

// classNames returns the names of the class folders of a tree, which stand at
// its top or in folders of splits.
func classNames(dir, rel string) ([]string, error) {
	subs, err := folders(filepath.Join(dir, rel))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, sub := range subs {
		if rel == "" && splits[strings.ToLower(sub)] != "" {
			below, err := classNames(dir, sub)
			if err != nil {
				return nil, err
			}
			names = append(names, below...)
			continue
		}
		names = append(names, sub)
	}
	return names, nil
}

// headOf returns the head that a set of class folders answers: the only one, or
// the only one that has labels of those names.
func headOf(heads []model.Head, names []string) (model.Head, error) {
	if len(heads) == 1 {
		return heads[0], nil
	}
	var found []string
	var h model.Head
	for _, x := range heads {
		for _, n := range names {
			if labelOf(x, n) != NoLabel {
				found, h = append(found, x.Name), x
				break
			}
		}
	}
	switch len(found) {
	case 1:
		return h, nil
	case 0:
		var all []string
		for _, x := range heads {
			all = append(all, x.Name+" ("+strings.Join(x.Labels, ", ")+")")
		}
		return h, fmt.Errorf("no head has a label that is called as one of the folders %s (heads are %s; --head NAME=LABEL,LABEL asks another question)",
			strings.Join(names, ", "), strings.Join(all, ", "))
	}
	return h, fmt.Errorf("the folders %s are labels of several heads, %s: name the labels apart, or use a manifest", strings.Join(names, ", "), strings.Join(found, " and "))
}

func listManifest(path string, heads []model.Head) (*listing, error) {
	t, err := openTable(path)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	l := &listing{}
	if err := manifestRows(t, heads, l); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// manifestRows reads a table of pictures: path, split, x, y, width, height and
// a column for each head. Paths are relative to the table's folder.
func manifestRows(t *table, heads []model.Head, l *listing) error {
	path, split := t.column("path", "file", "image"), t.column("split", "usage")
	if path < 0 {
		return fmt.Errorf("header %q: no column path", strings.Join(t.head, ","))
	}
	var rect [4]int
	for i, name := range []string{"x", "y", "width", "height"} {
		rect[i] = t.column(name)
	}
	if boxed := rect[0] >= 0; boxed && (rect[1] < 0 || rect[2] < 0 || rect[3] < 0) {
		return fmt.Errorf("header %q: a box needs x, y, width and height", strings.Join(t.head, ","))
	}
	columns := map[string]int{}
	for _, h := range heads {
		if c := t.column(strings.ToLower(h.Name)); c >= 0 {
			columns[h.Name] = c
		}
	}
	if len(columns) == 0 {
		return fmt.Errorf("header %q: no column is called as a head (%s)", strings.Join(t.head, ","), strings.Join(model.Names(heads), ", "))
	}
	a := newAnswers(heads, nil)
	return t.rows(l, func(row []string, line int) error {
		it := item{}
		var err error
		if it.path, err = local(row[path]); err != nil {
			return err
		}
		if split >= 0 {
			if it.published, err = splitOf(row[split]); err != nil {
				return err
			}
		}
		if rect[0] >= 0 {
			if it.box, err = boxOf(row, rect); err != nil {
				return err
			}
		}
		for _, h := range heads {
			if c, ok := columns[h.Name]; ok && strings.TrimSpace(row[c]) != "" {
				it.says = append(it.says, named(h.Name, strings.TrimSpace(row[c])))
			}
		}
		if _, _, err := a.of(it.says, true); err != nil {
			return err
		}
		l.items = append(l.items, it)
		return nil
	})
}

// splitOf reads a cell that names a split; an empty one names none.
func splitOf(cell string) (string, error) {
	name := strings.ToLower(strings.TrimSpace(cell))
	if name == "" {
		return "", nil
	}
	if s := splits[name]; s != "" {
		return s, nil
	}
	return "", fmt.Errorf("split %q is not train, val, test or private", cell)
}

// boxOf reads the four cells of a box; all of them empty are no box.
func boxOf(row []string, at [4]int) (box, error) {
	var v [4]int
	empty := 0
	for i, c := range at {
		cell := strings.TrimSpace(row[c])
		if cell == "" {
			empty++
			continue
		}
		f, err := strconv.ParseFloat(cell, 64)
		if err != nil || !(f >= -1e6 && f <= 1e6) {
			return box{}, fmt.Errorf("box: %q is not a number of pixels", cell)
		}
		v[i] = int(f + 0.5)
	}
	b := box{v[0], v[1], v[2], v[3]}
	switch {
	case empty == len(at):
		return box{}, nil
	case empty > 0:
		return box{}, fmt.Errorf("box: x, y, width and height go together")
	case b.width < 1 || b.height < 1:
		return box{}, fmt.Errorf("box: %dx%d pixels hold no face", b.width, b.height)
	}
	return b, nil
}
