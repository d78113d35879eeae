package data

import (
	"fmt"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// UTKFace, Zhang, Song and Qi 2017 (arXiv 1702.08423): the labels are in the
// file name, <age>_<gender>_<race>_<stamp>. It was published without a split.

func listUTK(dir string) ([]item, error) {
	names, err := images(dir)
	if err != nil {
		return nil, err
	}
	items := make([]item, len(names))
	for i, n := range names {
		labels, err := parseUTK(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", join(dir, n), err)
		}
		items[i] = item{path: n, labels: labels}
	}
	return items, nil
}

// parseUTK reads the labels in a file name. The published set holds a few
// names that lack a field (61_3_2017...); of those only the fields that are
// certain count: the age, and a gender before an empty race.
func parseUTK(name string) (Labels, error) {
	l := None
	fields := strings.Split(name, "_")
	if len(fields) < 3 {
		return l, fmt.Errorf("the name is not <age>_<gender>_<race>_<stamp>")
	}
	years, err := strconv.Atoi(fields[0])
	if err != nil || years < 0 || years > 130 {
		return l, fmt.Errorf("age %q is not a number from 0 to 130", fields[0])
	}
	l[Age] = AgeLabel(years)
	if len(fields) == 3 {
		return l, nil
	}
	switch fields[1] {
	case "0", "1":
		l[Gender] = int8(fields[1][0] - '0') // male, female as in model.Gender
	case "":
	default:
		return l, fmt.Errorf("gender %q is not 0 or 1", fields[1])
	}
	switch fields[2] {
	case "0", "1", "2":
		l[Race] = int8(fields[2][0] - '0') // White, Black, Asian as in model.Race
	case "3", "4", "": // Indian, Others: the model has no such label
	default:
		return l, fmt.Errorf("race %q is not a number from 0 to 4", fields[2])
	}
	return l, nil
}

// ageFrom holds the first year of each label of model.Age.
var ageFrom = []int{0, 4, 20, 40, 70}

// AgeLabel returns the label of an age in years.
func AgeLabel(years int) int8 {
	k := len(model.Age.Labels) - 1
	for k > 0 && years < ageFrom[k] {
		k--
	}
	return int8(k)
}
