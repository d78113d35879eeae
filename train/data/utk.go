package data

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// UTKFace, Zhang, Song and Qi 2017 (arXiv 1702.08423): the labels are in the
// file name, <age>_<gender>_<race>_<stamp>. It was published without a split.

// utkRaces maps its codes; the model's heads know the first three.
var utkRaces = []string{"Caucasian", "African-American", "Asian", "Indian", "Others"}

// utkFolders are the folders of its copies that hold pictures; any that is
// alone does, too.
var utkFolders = []string{"part1", "part2", "part3", "utkface", "crop_part1"}

func listUTK(dir string, _ []model.Head) (*listing, error) {
	l := &listing{}
	return l, utkTree(l, dir, "")
}

func utkTree(l *listing, dir, rel string) error {
	names, err := l.pictures(filepath.Join(dir, rel))
	if err != nil {
		return err
	}
	for _, n := range names {
		path := filepath.Join(rel, n)
		says, err := parseUTK(n)
		if err != nil {
			l.bad = append(l.bad, Bad{filepath.Join(dir, path), err})
			continue
		}
		l.items = append(l.items, item{path: path, says: says})
	}
	subs, err := folders(filepath.Join(dir, rel))
	if err != nil {
		return err
	}
	for _, sub := range subs {
		name := strings.ToLower(sub)
		if len(subs) == 1 && len(names) == 0 || slices.Contains(utkFolders, name) || slices.Contains(wrappers, name) {
			if err := utkTree(l, dir, filepath.Join(rel, sub)); err != nil {
				return err
			}
			continue
		}
		l.skip("folders that are no part of the set")
	}
	return nil
}

// parseUTK reads the labels in a file name. The published set holds a few
// names that lack a field (61_3_2017...); of those only the fields that are
// certain count: the age, and a gender before an empty race.
func parseUTK(name string) ([]said, error) {
	fields := strings.Split(name, "_")
	if len(fields) < 3 {
		return nil, fmt.Errorf("the name is not <age>_<gender>_<race>_<stamp>")
	}
	years, err := strconv.Atoi(fields[0])
	if err != nil || years < 0 || years > 130 {
		return nil, fmt.Errorf("age %q is not a number from 0 to 130", fields[0])
	}
	says := []said{number("age", float64(years))}
	if len(fields) == 3 {
		return says, nil
	}
	switch fields[1] {
	case "0":
		says = append(says, named("gender", "male"))
	case "1":
		says = append(says, named("gender", "female"))
	case "":
	default:
		return nil, fmt.Errorf("gender %q is not 0 or 1", fields[1])
	}
	if fields[2] == "" {
		return says, nil
	}
	race, err := strconv.Atoi(fields[2])
	if err != nil || race < 0 || race >= len(utkRaces) || len(fields[2]) != 1 {
		return nil, fmt.Errorf("race %q is not a number from 0 to 4", fields[2])
	}
	return append(says, named("race", utkRaces[race])), nil
}
