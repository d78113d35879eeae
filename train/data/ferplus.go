package data

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mien/runtime/model"
)

// FER+, Barsoum et al. 2016 (arXiv 1608.01041): what ten annotators said of
// each picture of FER-2013. Microsoft's fer2013new.csv has a row for each row
// of fer2013.csv, in the same order; a table with a column image has a row for
// each picture of the folder layout, by its name.

// ferPlusVotes are the columns of votes and the labels they are for. Nobody is
// taught the last three: a picture that they win has no label.
var ferPlusVotes = []struct{ column, label string }{
	{"neutral", "neutral"}, {"happiness", "happy"}, {"surprise", "surprise"}, {"sadness", "sad"}, {"anger", "angry"},
	{"disgust", "disgust"}, {"fear", "fear"}, {"contempt", "contempt"}, {"unknown", "unknown"}, {"nf", "no face"},
}

func listFERPlus(dir string, heads []model.Head) (*listing, error) {
	l, err := listFER(dir, heads)
	if err != nil {
		return nil, err
	}
	path, err := ferPlusTable(dir)
	if err != nil {
		return nil, err
	}
	votes, byRow, err := readVotes(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var kept []item
	for _, it := range l.items {
		if (it.row != nil) != byRow {
			return nil, fmt.Errorf("%s counts rows of fer2013.csv, and a table of names pictures: %s is the other", path, it.path)
		}
		v, ok := votes[voteKey(it)]
		if !ok {
			l.skip("pictures without votes")
			continue
		}
		it.says = []said{{head: "emotion", votes: v}}
		kept = append(kept, it)
	}
	l.items = kept
	if len(kept) == 0 {
		return nil, fmt.Errorf("%s names none of the pictures in %s", path, dir)
	}
	return l, nil
}

// voteKey is what the table of votes calls a picture: its file, or the line of
// its row less that of the first.
func voteKey(it item) string {
	if it.row == nil {
		return filepath.Base(it.path)
	}
	_, line, _ := strings.Cut(it.path, ":")
	n, err := strconv.Atoi(line)
	if err != nil {
		return "" // ferRows numbers every row
	}
	return strconv.Itoa(n - 2)
}

func ferPlusTable(dir string) (string, error) {
	if strings.EqualFold(filepath.Ext(dir), ".csv") {
		dir = filepath.Dir(dir)
	}
	names := []string{"fer2013new.csv", "ferplus-by-id.csv", "ferplus-by-id.csv.gz"}
	rel, err := within(dir, names...)
	if err != nil {
		return "", err
	}
	path, err := first(filepath.Join(dir, rel), names...)
	if path == "" && err == nil {
		err = fmt.Errorf("no votes in %s (want one of %s)", dir, strings.Join(names, ", "))
	}
	return path, err
}

// readVotes returns the votes by voteKey, and whether that is a row.
func readVotes(path string) (votes map[string][]vote, byRow bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.EqualFold(filepath.Ext(path), ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, false, err
		}
		r = z
	}
	t, err := newTable(filepath.Base(path), r)
	if err != nil {
		return nil, false, err
	}
	return parseVotes(t)
}

func parseVotes(t *table) (votes map[string][]vote, byRow bool, err error) {
	image := t.column("image")
	at := make([]int, len(ferPlusVotes))
	for i, v := range ferPlusVotes {
		if at[i] = t.column(v.column); at[i] < 0 {
			return nil, false, fmt.Errorf("header %q: no column %s", strings.Join(t.head, ","), v.column)
		}
	}
	votes = map[string][]vote{}
	n := 0
	var l listing
	err = t.rows(&l, func(row []string, line int) error {
		key := strconv.Itoa(n)
		n++
		if image >= 0 {
			key = filepath.Base(strings.ReplaceAll(row[image], `\`, "/"))
		}
		all := make([]vote, len(at))
		for i, column := range at {
			v, err := strconv.ParseUint(strings.TrimSpace(row[column]), 10, 16)
			if err != nil {
				return fmt.Errorf("%s %q is not a number of votes", ferPlusVotes[i].column, row[column])
			}
			all[i] = vote{ferPlusVotes[i].label, float64(v)}
		}
		votes[key] = all
		return nil
	})
	if err == nil && len(l.bad) > 0 {
		err = fmt.Errorf("%s: %w", l.bad[0].Path, l.bad[0].Err) // rows are counted: none may be missing
	}
	return votes, image < 0, err
}
