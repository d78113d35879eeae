package data

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// FER-2013, Goodfellow et al. 2013 (arXiv 1307.0414): 48x48 grey faces, as
// Kaggle's fer2013.csv or icml_face_data.csv, or as folders of images.

const ferSide = 48

// ferEmotions are the codes of its labels, 0 to 6; they are also its folders'
// names, unless those are the codes themselves.
var ferEmotions = []string{"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"}

// emotions are the names of all labels of the published sets.
const emotions = "angry, disgust, fear, happy, sad, surprise, neutral"

// ferSays returns what a name or a code says.
func ferSays(name string) (said, bool) {
	if code, err := strconv.ParseFloat(name, 64); err == nil {
		if code != float64(int(code)) || code < 0 || int(code) >= len(ferEmotions) {
			return said{}, false
		}
		name = ferEmotions[int(code)]
	}
	name = fold(name)
	for _, e := range ferEmotions {
		if e == name {
			return named("emotion", e), true
		}
	}
	return said{}, false
}

func listFER(dir string, _ []model.Head) (*listing, error) {
	l := &listing{}
	path, err := ferTable(dir)
	if err != nil {
		return nil, err
	}
	if path == "" {
		c := classes{dir: dir, says: ferSays, want: "emotions are " + emotions, into: l}
		return l, c.list("", "")
	}
	t, err := openTable(path)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := ferRows(t, l); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// ferTable returns the CSV file of a set, or "" when it is folders.
func ferTable(dir string) (string, error) {
	if strings.EqualFold(filepath.Ext(dir), ".csv") {
		return dir, nil
	}
	tables := []string{"fer2013.csv", "icml_face_data.csv"}
	only, err := within(dir, tables...)
	if err != nil {
		return "", err
	}
	for _, below := range []string{"", "fer2013", only} {
		if path, err := first(filepath.Join(dir, below), tables...); path != "" || err != nil {
			return path, err
		}
	}
	return "", nil
}

// ferRows reads a table of the columns emotion, pixels and Usage, in any
// order: a face a row, 2304 grey levels separated by blanks.
func ferRows(t *table, l *listing) error {
	emotion, pixels, usage := t.column("emotion", "label"), t.column("pixels"), t.column("usage")
	if emotion < 0 || pixels < 0 {
		return fmt.Errorf("header %q: no columns emotion and pixels", strings.Join(t.head, ","))
	}
	return t.rows(l, func(row []string, line int) error {
		it, err := ferRow(row, emotion, pixels, usage)
		it.path = fmt.Sprintf("%s:%07d", t.name, line)
		if err == nil {
			l.items = append(l.items, it)
		}
		return err
	})
}

func ferRow(row []string, emotion, pixels, usage int) (item, error) {
	var it item
	say, ok := ferSays(strings.TrimSpace(row[emotion]))
	if !ok {
		return it, fmt.Errorf("emotion %q is no number from 0 to 6 and none of %s", row[emotion], emotions)
	}
	it.says = []said{say}
	if usage >= 0 {
		if it.published = splits[strings.ToLower(strings.TrimSpace(row[usage]))]; it.published == "" {
			return it, fmt.Errorf("usage %q is not Training, PublicTest or PrivateTest", row[usage])
		}
	}
	var err error
	it.row, err = ferPixels(row[pixels])
	return it, err
}

func ferPixels(text string) ([]uint8, error) {
	grey := make([]uint8, 0, ferSide*ferSide)
	for _, f := range strings.Fields(text) {
		v, err := strconv.ParseUint(f, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("pixel %q is not a number from 0 to 255", f)
		}
		if grey = append(grey, uint8(v)); len(grey) > ferSide*ferSide {
			break
		}
	}
	if len(grey) != ferSide*ferSide {
		return nil, fmt.Errorf("%d pixels, want %d", len(grey), ferSide*ferSide)
	}
	return grey, nil
}
