package data

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// RAF-DB's basic set, Li, Deng and Du 2017 (http://whdeng.cn/RAF/model1.html),
// in its published layout:
//
//	basic/EmoLabel/list_patition_label.txt          "train_00001.jpg 5" a line
//	basic/Image/aligned/train_00001_aligned.jpg
//	basic/Annotation/manual/train_00001_manu_attri.txt
//
// The last holds five landmarks (x y), then gender, race and age as numbers.
// A copy that is spread as DATASET/train/5/train_00001_aligned.jpg, with the
// codes as folders, has the emotions alone.

// rafEmotions are the codes 1 to 7.
var rafEmotions = []string{"surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"}

// rafAttributes are the heads of its attributes and their codes, from 0.
var rafAttributes = []struct {
	head   string
	labels []string
}{
	{"gender", []string{"male", "female", "unsure"}},
	{"race", []string{"Caucasian", "African-American", "Asian"}},
	{"age", []string{"0-3", "4-19", "20-39", "40-69", "70+"}},
}

func listRAF(dir string, _ []model.Head) (*listing, error) {
	l := &listing{}
	base, err := rafBase(dir)
	if err != nil {
		return nil, err
	}
	if base == "" {
		c := classes{dir: dir, want: "RAF-DB's are 1 to 7", into: l, says: func(folder string) (said, bool) {
			code, err := strconv.Atoi(folder)
			if err != nil || code < 1 || code > len(rafEmotions) {
				return said{}, false
			}
			return named("emotion", rafEmotions[code-1]), true
		}}
		return l, c.list("", "")
	}
	path, err := rafList(base)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := parseRAFList(l, filepath.Base(path), string(b)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range l.items {
		it := &l.items[i]
		stem := it.path
		attr := filepath.Join(base, "Annotation", "manual", stem+"_manu_attri.txt")
		more, err := readRAFAttributes(attr)
		if err != nil {
			l.skip("attribute files that say nothing")
		}
		it.says = append(it.says, more...)
		if it.path, err = filepath.Rel(dir, filepath.Join(base, "Image", "aligned", stem+"_aligned.jpg")); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// rafBase returns the folder of the published layout, or "" for another one.
func rafBase(dir string) (string, error) {
	const labels, basic = "EmoLabel", "basic"
	rel, err := within(dir, labels, basic)
	if err != nil {
		return "", err
	}
	for _, base := range []string{filepath.Join(dir, rel), filepath.Join(dir, rel, basic)} {
		if info, err := os.Stat(filepath.Join(base, labels)); err == nil && info.IsDir() {
			return base, nil
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// rafList returns the list of labels. It was published with a slip of the pen
// in its name.
func rafList(base string) (string, error) {
	names := []string{"list_patition_label.txt", "list_partition_label.txt"}
	path, err := first(filepath.Join(base, "EmoLabel"), names...)
	if path == "" && err == nil {
		err = fmt.Errorf("%s: no %s", filepath.Join(base, "EmoLabel"), strings.Join(names, " or "))
	}
	return path, err
}

// parseRAFList reads the emotion labels: a name and a code a line, and in some
// copies a third column. Codes are 1 to 7, or 0 to 6 in a list that has a 0.
// The path of an item is the stem of its name, train_00001.
func parseRAFList(l *listing, name, text string) error {
	type entry struct {
		stem string
		code int
		line int
	}
	var all []entry
	first := 1
	in := bufio.NewScanner(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	for line := 1; in.Scan(); line++ {
		f := strings.Fields(in.Text())
		if len(f) == 0 {
			continue
		}
		fail := func(format string, args ...any) {
			l.bad = append(l.bad, Bad{fmt.Sprintf("%s:%d", name, line), fmt.Errorf(format, args...)})
		}
		if len(f) < 2 || len(f) > 3 {
			fail("%q is not a name and a label", in.Text())
			continue
		}
		code, err := strconv.Atoi(f[1])
		if err != nil || code < 0 || code > len(rafEmotions) {
			fail("emotion %q is not a number from 1 to 7", f[1])
			continue
		}
		stem := strings.TrimSuffix(strings.TrimSuffix(f[0], filepath.Ext(f[0])), "_aligned")
		switch {
		case stem != filepath.Base(stem) || strings.ContainsAny(stem, `/\`):
			fail("%q is not a file name", f[0])
			continue
		case !strings.HasPrefix(stem, "train_") && !strings.HasPrefix(stem, "test_"):
			fail("%q begins with neither train_ nor test_", f[0])
			continue
		}
		if code == 0 {
			first = 0
		}
		all = append(all, entry{stem, code, line})
	}
	for _, e := range all {
		if e.code-first >= len(rafEmotions) {
			return fmt.Errorf("line %d: the list has codes 0 and 7: are its labels 0 to 6 or 1 to 7?", e.line)
		}
		split := Train
		if strings.HasPrefix(e.stem, "test_") {
			split = Test
		}
		l.items = append(l.items, item{path: e.stem, says: []said{named("emotion", rafEmotions[e.code-first])}, published: split})
	}
	return in.Err()
}

// readRAFAttributes reads gender, race and age; a missing file says none.
func readRAFAttributes(path string) ([]said, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRAFAttributes(string(b))
}

func parseRAFAttributes(s string) ([]said, error) {
	f := strings.Fields(s)
	if len(f) != 10+len(rafAttributes) {
		return nil, fmt.Errorf("%d values, want five points, gender, race and age", len(f))
	}
	var says []said
	for k, a := range rafAttributes {
		v, err := strconv.Atoi(f[10+k])
		if err != nil || v < 0 || v >= len(a.labels) {
			return nil, fmt.Errorf("%s %q is not a number from 0 to %d", a.head, f[10+k], len(a.labels)-1)
		}
		says = append(says, named(a.head, a.labels[v]))
	}
	return says, nil
}
