package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// RAF-DB's basic set, Li, Deng and Du 2017 (http://whdeld.cn/RAF/model1.html),
// in its published layout:
//
//	basic/EmoLabel/list_patition_label.txt          "train_00001.jpg 5" a line
//	basic/Image/aligned/train_00001_aligned.jpg
//	basic/Annotation/manual/train_00001_manu_attri.txt
//
// The last holds five landmarks (x y), then gender, race and age as numbers.

// rafEmotions maps the codes 1 to 7.
var rafEmotions = []string{"surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"}

func listRAF(dir string) ([]item, error) {
	base := dir
	if _, err := os.Stat(filepath.Join(dir, "basic")); err == nil {
		base = filepath.Join(dir, "basic")
	}
	path := filepath.Join(base, "EmoLabel", "list_patition_label.txt")
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, layouts["rafdb"])
	}
	defer f.Close()
	items, err := parseRAFList(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range items {
		it := &items[i]
		stem := it.path
		attr := filepath.Join(base, "Annotation", "manual", stem+"_manu_attri.txt")
		if err := readRAFAttributes(attr, &it.labels); err != nil {
			return nil, fmt.Errorf("%s: %w", attr, err)
		}
		if it.path, err = filepath.Rel(dir, filepath.Join(base, "Image", "aligned", stem+"_aligned.jpg")); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// parseRAFList reads the emotion labels; the path of an item is the stem of
// its name, train_00001.
func parseRAFList(r io.Reader) ([]item, error) {
	var items []item
	in := bufio.NewScanner(r)
	for line := 1; in.Scan(); line++ {
		f := strings.Fields(in.Text())
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return nil, fmt.Errorf("line %d: %q is not a name and a label", line, in.Text())
		}
		code, err := strconv.Atoi(f[1])
		if err != nil || code < 1 || code > len(rafEmotions) {
			return nil, fmt.Errorf("line %d: emotion %q is not a number from 1 to 7", line, f[1])
		}
		it := item{path: strings.TrimSuffix(f[0], ".jpg"), labels: None}
		it.labels[Emotion] = emotionLabel(rafEmotions[code-1])
		if it.path != filepath.Base(it.path) {
			return nil, fmt.Errorf("line %d: %q is not a file name", line, f[0])
		}
		switch {
		case strings.HasPrefix(it.path, "train_"):
			it.published = Train
		case strings.HasPrefix(it.path, "test_"):
			it.published = Test
		default:
			return nil, fmt.Errorf("line %d: %q begins with neither train_ nor test_", line, f[0])
		}
		items = append(items, it)
	}
	return items, in.Err()
}

// readRAFAttributes adds gender, race and age; a missing file leaves them
// unlabelled.
func readRAFAttributes(path string, l *Labels) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return parseRAFAttributes(string(b), l)
}

func parseRAFAttributes(s string, l *Labels) error {
	f := strings.Fields(s)
	if len(f) != 13 {
		return fmt.Errorf("%d values, want five points, gender, race and age", len(f))
	}
	for k, head := range []int{Gender, Race, Age} {
		labels := model.Heads()[head].Labels
		v, err := strconv.Atoi(f[10+k])
		if err != nil || v < 0 || v >= len(labels) {
			return fmt.Errorf("%s %q is not a number from 0 to %d", model.Heads()[head].Name, f[10+k], len(labels)-1)
		}
		l[head] = int8(v)
	}
	return nil
}
