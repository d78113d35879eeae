package data

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// FER-2013, Goodfellow et al. 2013 (arXiv 1307.0414): 48x48 grey faces, as
// Kaggle's fer2013.csv or as folders of images.

const ferSide = 48

// ferEmotions maps the codes of fer2013.csv.
var ferEmotions = []string{"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"}

// ferUsages maps the names of its splits, as folders and as Usage, to ours.
var ferUsages = map[string]string{
	"train": Train, "training": Train,
	"test": Test, "publictest": Test, "val": Test, "validation": Test,
	"privatetest": Private,
}

var emotionAliases = map[string]string{
	"anger": "angry", "happiness": "happy", "sadness": "sad", "fearful": "fear", "disgusted": "disgust", "surprised": "surprise",
}

// emotionLabel returns the label of an emotion's name, or NoLabel.
func emotionLabel(name string) int8 {
	name = strings.ToLower(name)
	if a := emotionAliases[name]; a != "" {
		name = a
	}
	return int8(model.Emotion.Label(name))
}

func listFER(dir string) ([]item, error) {
	path := dir
	if !strings.EqualFold(filepath.Ext(dir), ".csv") {
		path = filepath.Join(dir, "fer2013.csv")
	}
	switch f, err := os.Open(path); {
	case err == nil:
		defer f.Close()
		items, err := parseFER(bufio.NewReaderSize(f, 1<<20), filepath.Base(path))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return items, nil
	case path == dir || !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	return listFERFolders(dir)
}

func listFERFolders(dir string) ([]item, error) {
	subs, err := folders(dir)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, sub := range subs {
		usage := ferUsages[strings.ToLower(sub)]
		if usage == "" {
			more, err := listEmotion(dir, sub, "")
			if err != nil {
				return nil, err
			}
			items = append(items, more...)
			continue
		}
		emotions, err := folders(filepath.Join(dir, sub))
		if err != nil {
			return nil, err
		}
		for _, e := range emotions {
			more, err := listEmotion(dir, filepath.Join(sub, e), usage)
			if err != nil {
				return nil, err
			}
			items = append(items, more...)
		}
	}
	return items, nil
}

func listEmotion(dir, sub, usage string) ([]item, error) {
	labels := None
	labels[Emotion] = emotionLabel(filepath.Base(sub))
	if labels[Emotion] == NoLabel {
		return nil, fmt.Errorf("%s: no emotion is called %q (there are %s)",
			filepath.Join(dir, sub), filepath.Base(sub), strings.Join(model.Emotion.Labels, ", "))
	}
	names, err := images(filepath.Join(dir, sub))
	if err != nil {
		return nil, err
	}
	items := make([]item, len(names))
	for i, n := range names {
		items[i] = item{path: filepath.Join(sub, n), labels: labels, published: usage}
	}
	return items, nil
}

// parseFER reads fer2013.csv: a header that names the columns emotion, pixels
// and Usage (Kaggle's two editions order them differently), then one face a
// row, 2304 grey levels separated by blanks.
func parseFER(r io.Reader, name string) ([]item, error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	column := func(want string) int {
		return slices.IndexFunc(head, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), want) })
	}
	emotion, pixels, usage := column("emotion"), column("pixels"), column("usage")
	if emotion < 0 || pixels < 0 {
		return nil, fmt.Errorf("header %q: no columns emotion and pixels", strings.Join(head, ","))
	}
	return rows(in, func(row []string, line int) (item, error) {
		it, err := parseFERRow(row, emotion, pixels, usage)
		it.path = fmt.Sprintf("%s:%07d", name, line)
		return it, err
	})
}

func parseFERRow(row []string, emotion, pixels, usage int) (item, error) {
	it := item{labels: None}
	code, err := strconv.Atoi(strings.TrimSpace(row[emotion]))
	if err != nil || code < 0 || code >= len(ferEmotions) {
		return it, fmt.Errorf("emotion %q is not a number from 0 to 6", row[emotion])
	}
	it.labels[Emotion] = emotionLabel(ferEmotions[code])
	if usage >= 0 {
		name := strings.ToLower(strings.TrimSpace(row[usage]))
		if it.published = ferUsages[name]; it.published == "" {
			return it, fmt.Errorf("usage %q is not Training, PublicTest or PrivateTest", row[usage])
		}
	}
	it.row = make([]uint8, 0, ferSide*ferSide)
	for _, f := range strings.Fields(row[pixels]) {
		v, err := strconv.ParseUint(f, 10, 8)
		if err != nil {
			return it, fmt.Errorf("pixel %q is not a number from 0 to 255", f)
		}
		it.row = append(it.row, uint8(v))
		if len(it.row) > ferSide*ferSide {
			break
		}
	}
	if len(it.row) != ferSide*ferSide {
		return it, fmt.Errorf("%d pixels, want %d", len(it.row), ferSide*ferSide)
	}
	return it, nil
}
