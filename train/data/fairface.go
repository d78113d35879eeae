package data

import (
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

// fairRaces are its seven races and, where the name differs, the label that
// the model's heads have for it.
var fairRaces = map[string]string{
	"white": "Caucasian", "black": "African-American", "east asian": "Asian", "southeast asian": "Asian",
	"indian": "Indian", "latino_hispanic": "Latino_Hispanic", "middle eastern": "Middle Eastern",
}

func listFairFace(dir string, _ []model.Head) (*listing, error) {
	l := &listing{}
	for _, file := range []struct{ name, split string }{{"fairface_label_train.csv", Train}, {"fairface_label_val.csv", Test}} {
		path := filepath.Join(dir, file.name)
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
		says, err := fairSays(row[at[1]], row[at[2]], row[at[3]])
		if err == nil {
			l.items = append(l.items, item{path: path, says: says, published: split})
		}
		return err
	})
}

func fairSays(age, gender, race string) ([]said, error) {
	years, ok := parseBand(age) // "3-9", "more than 70", "70+"
	if !ok {
		return nil, fmt.Errorf("age %q is not one of FairFace's ranges", age)
	}
	g := fold(gender)
	if g != "male" && g != "female" {
		return nil, fmt.Errorf("gender %q is not Male or Female", gender)
	}
	r, ok := fairRaces[strings.ToLower(strings.TrimSpace(race))]
	if !ok {
		return nil, fmt.Errorf("race %q is not one of FairFace's seven", race)
	}
	return []said{{head: "age", from: years.from, to: years.to - 1}, named("gender", g), named("race", r)}, nil
}
