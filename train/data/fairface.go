package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mien/runtime/model"
)

// FairFace, Karkkainen and Joo 2021 (arXiv 1908.04913):
// fairface_label_{train,val}.csv with file, age, gender, race; the images lie
// in train/ and val/. Its val is our test split.
//
// A selection of its photographs with their surroundings goes round with
// ground_truth.json instead: entries of filename, age, gender and perhaps race.
// It is for measuring, and a test split throughout.

// fairRaces are its seven races and, where the name differs, the label that
// the model's heads have for it.
var fairRaces = map[string]string{
	"white": "Caucasian", "black": "African-American", "east asian": "Asian", "southeast asian": "Asian",
	"indian": "Indian", "latino_hispanic": "Latino_Hispanic", "middle eastern": "Middle Eastern",
}

func listFairFace(dir string, _ []model.Head) (*listing, error) {
	const photographs, train, val = "ground_truth.json", "fairface_label_train.csv", "fairface_label_val.csv"
	rel, err := within(dir, photographs, train, val)
	if err != nil {
		return nil, err
	}
	l := &listing{}
	if err := fairPhotographs(filepath.Join(dir, rel, photographs), l); err != nil {
		return nil, err
	}
	for _, file := range []struct{ name, split string }{{train, Train}, {val, Test}} {
		path := filepath.Join(dir, rel, file.name)
		t, err := openTable(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		err = fairRows(t, file.split, l)
		t.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	for i := range l.items {
		l.items[i].path = filepath.Join(rel, l.items[i].path)
	}
	return l, nil
}

func fairRows(t *table, split string, l *listing) error {
	var at [4]int
	for i, name := range []string{"file", "age", "gender", "race"} {
		if at[i] = t.column(name); at[i] < 0 {
			return fmt.Errorf("header %q: no column %s", strings.Join(t.head, ","), name)
		}
	}
	return t.rows(l, func(row []string, line int) error {
		path, err := local(row[at[0]])
		if err != nil {
			return err
		}
		says, err := fairSays(row[at[1]], row[at[2]])
		if err != nil {
			return err
		}
		r, err := fairRace(row[at[3]])
		if err == nil {
			l.items = append(l.items, item{path: path, says: append(says, r), published: split})
		}
		return err
	})
}

// fairPhotographs lists the photographs that a file names; without a file
// there are none.
func fairPhotographs(path string, l *listing) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	in := json.NewDecoder(bytes.NewReader(b))
	at := func() string { return fmt.Sprintf("%s:%d", path, 1+bytes.Count(b[:in.InputOffset()], []byte("\n"))) }
	if t, err := in.Token(); err != nil || t != json.Delim('[') {
		return fmt.Errorf("%s: want a list of {filename, age, gender}", at())
	}
	for in.More() {
		var x struct{ Filename, Age, Gender, Race string }
		if err := in.Decode(&x); err != nil {
			return fmt.Errorf("%s: %w", at(), err)
		}
		it, err := fairPhotograph(x.Filename, x.Age, x.Gender, x.Race)
		if err != nil {
			l.bad = append(l.bad, Bad{at(), err})
			continue
		}
		l.items = append(l.items, it)
	}
	if _, err := in.Token(); err != nil {
		return fmt.Errorf("%s: the list does not end: %w", at(), err)
	}
	return nil
}

func fairPhotograph(name, age, gender, race string) (item, error) {
	path, err := local(name)
	if err != nil {
		return item{}, err
	}
	says, err := fairSays(age, gender)
	if err != nil {
		return item{}, err
	}
	if race != "" {
		r, err := fairRace(race)
		if err != nil {
			return item{}, err
		}
		says = append(says, r)
	}
	return item{path: path, says: says, published: Test, photograph: true}, nil
}

func fairSays(age, gender string) ([]said, error) {
	years, ok := parseBand(age) // "3-9", "more than 70", "70+"
	if !ok {
		return nil, fmt.Errorf("age %q is not one of FairFace's ranges", age)
	}
	g := fold(gender)
	if g != "male" && g != "female" {
		return nil, fmt.Errorf("gender %q is not Male or Female", gender)
	}
	return []said{{head: "age", from: years.from, to: years.to - 1}, named("gender", g)}, nil
}

func fairRace(race string) (said, error) {
	r, ok := fairRaces[strings.ToLower(strings.TrimSpace(race))]
	if !ok {
		return said{}, fmt.Errorf("race %q is not one of FairFace's seven", race)
	}
	return named("race", r), nil
}
