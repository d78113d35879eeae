package data

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FairFace, Karkkainen and Joo 2021 (arXiv 1908.04913):
// fairface_label_{train,val}.csv with file, age, gender, race; the images lie
// in train/ and val/. Its val is our test split.

// fairAges maps its age ranges. 3-9 counts as 4-19, which holds six of its
// seven years.
var fairAges = map[string]int{
	"0-2": 0, "3-9": 9, "10-19": 19, "20-29": 29, "30-39": 39, "40-49": 49, "50-59": 59, "60-69": 69, "more than 70": 70,
}

var fairGenders = map[string]int8{"Male": 0, "Female": 1}

// fairRaces maps its seven races to the model's three; others are masked.
var fairRaces = map[string]int8{
	"White": 0, "Black": 1, "East Asian": 2, "Southeast Asian": 2,
	"Indian": NoLabel, "Latino_Hispanic": NoLabel, "Middle Eastern": NoLabel,
}

func listFairFace(dir string) ([]item, error) {
	var items []item
	for name, split := range map[string]string{"fairface_label_train.csv": Train, "fairface_label_val.csv": Test} {
		path := filepath.Join(dir, name)
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		more, err := parseFairFace(f, split)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		items = append(items, more...)
	}
	return items, nil
}

func parseFairFace(r io.Reader, split string) ([]item, error) {
	in := csv.NewReader(r)
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var at [4]int
	for i, name := range []string{"file", "age", "gender", "race"} {
		if at[i] = slices.Index(head, name); at[i] < 0 {
			return nil, fmt.Errorf("header %q: no column %s", strings.Join(head, ","), name)
		}
	}
	return rows(in, func(row []string, line int) (item, error) {
		it := item{path: filepath.FromSlash(row[at[0]]), published: split}
		if !filepath.IsLocal(it.path) {
			return item{}, fmt.Errorf("%q does not lie in the set's folder", row[at[0]])
		}
		var err error
		it.labels, err = fairLabels(row[at[1]], row[at[2]], row[at[3]])
		return it, err
	})
}

// rows reads the rest of a CSV file, one item a row. Errors name the line.
func rows(in *csv.Reader, parse func(row []string, line int) (item, error)) ([]item, error) {
	var items []item
	for {
		row, err := in.Read()
		if err == io.EOF {
			return items, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		it, err := parse(row, line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		items = append(items, it)
	}
}

func fairLabels(age, gender, race string) (Labels, error) {
	l := None
	years, ok := fairAges[age]
	if !ok {
		return l, fmt.Errorf("age %q is not one of FairFace's ranges", age)
	}
	l[Age] = AgeLabel(years)
	if l[Gender], ok = fairGenders[gender]; !ok {
		return l, fmt.Errorf("gender %q is not Male or Female", gender)
	}
	if l[Race], ok = fairRaces[race]; !ok {
		return l, fmt.Errorf("race %q is not one of FairFace's seven", race)
	}
	return l, nil
}
