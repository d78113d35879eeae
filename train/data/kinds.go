package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mien/runtime/face"
	"mien/runtime/model"
)

// Kind is a kind of data set: all that there is to know of it.
type Kind struct {
	Name   string // before the colon of KIND:DIR
	Title  string // as its authors call it; "" for a set of one's own
	Terms  string // that it was published under, and who by
	Layout string // how it lies on the disk
	Crop   face.Crop
	// HoldOut tells that a tenth is held out as the test split, since it was
	// published without one. Which images these are depends on nothing but the
	// images themselves, so that no choice of seed or name moves one across.
	HoldOut bool
	// Strict tells that a label which the heads lack is a mistake: the labels
	// are the user's own.
	Strict bool
	// Table tells that DIR is a table, in the folder of its pictures.
	Table bool

	list func(dir string, heads []model.Head) (*listing, error)
}

// own are the terms of a set that was not published.
const own = "of the user's own; who made it knows its terms"

// kinds are all that there are.
var kinds = []Kind{
	{Name: "fairface", Title: "FairFace", Terms: "CC BY 4.0 (Karkkainen, Joo 2021)", Crop: face.Loose, list: listFairFace,
		Layout: "fairface_label_train.csv or fairface_label_val.csv beside train/ and val/; or ground_truth.json beside photographs with surroundings, which are a test split"},
	{Name: "fer2013", Title: "FER-2013", Terms: "public research competition (Goodfellow et al. 2013)", Crop: face.Fer, list: listFER,
		Layout: "fer2013.csv or icml_face_data.csv, or <emotion>/*.jpg, or train/<emotion>/*.jpg and test/<emotion>/*.jpg"},
	{Name: "ferplus", Title: "FER+", Terms: "labels MIT (Barsoum et al. 2016); pictures of FER-2013, public research competition (Goodfellow et al. 2013)", Crop: face.Fer, list: listFERPlus,
		Layout: "FER-2013 in one of its layouts, and fer2013new.csv beside fer2013.csv, or ferplus-by-id.csv[.gz] for pictures"},
	{Name: "folders", Terms: own, Crop: face.Loose, HoldOut: true, Strict: true, list: listFolders,
		Layout: "<label>/*.jpg, or train/<label>/*.jpg with val/ and test/ beside it; the labels are those of one head"},
	{Name: "landmarks", Title: "facial landmarks of LFW and the web", Terms: "non-commercial research (Sun, Wang, Tang 2013)", Crop: face.Whole, HoldOut: true, list: listLandmarks,
		Layout: "landmarks.csv with file, left_eye_x, left_eye_y, right_eye_x and right_eye_y beside pictures of 80x80 pixels"},
	{Name: "manifest", Terms: own, Crop: face.Loose, HoldOut: true, Strict: true, Table: true, list: listManifest,
		Layout: "a CSV file with a column path and a column for each head; an empty cell is no label; columns split and x, y, width, height may join"},
	{Name: "rafdb", Title: "RAF-DB", Terms: "non-commercial research, by agreement with its authors (Li, Deng, Du 2017)", Crop: face.Loose, list: listRAF,
		Layout: "basic/EmoLabel/list_patition_label.txt and basic/Image/aligned/*_aligned.jpg, or DATASET/train/1 to 7 and DATASET/test/1 to 7"},
	{Name: "utkface", Title: "UTKFace", Terms: "non-commercial research only (Zhang, Song, Qi 2017)", Crop: face.Loose, HoldOut: true, list: listUTK,
		Layout: "<age>_<gender>_<race>_<stamp>.jpg, in folders or not"},
}

// folder is where the pictures lie that DIR names.
func (k Kind) folder(dir string) string {
	if k.Table {
		return filepath.Dir(dir)
	}
	return dir
}

// Content returns the folder that a KIND:DIR stands for, and what DIR names within
// it, for a kind whose DIR is a table; "" for others.
func Content(spec string) (folder, table string, err error) {
	name, dir, err := ParseSpec(spec)
	if err != nil {
		return "", "", err
	}
	k, err := KindByName(name)
	if err != nil {
		return "", "", err
	}
	if k.Table {
		table = filepath.Base(dir)
	}
	return k.folder(dir), table, nil
}

// Kinds returns the names of the kinds of data sets.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// KindByName returns a kind of data set.
func KindByName(name string) (Kind, error) {
	if i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return kinds[i], nil
	}
	return Kind{}, fmt.Errorf("data: no kind %q of data set (there are %s)", name, strings.Join(Kinds(), ", "))
}

// ParseSpec splits "KIND:DIR". A DIR that begins with ~/ lies in the home
// folder, which a shell says only where nothing stands before it.
func ParseSpec(spec string) (kind, dir string, err error) {
	kind, dir, ok := strings.Cut(spec, ":")
	if !ok || dir == "" {
		return "", "", fmt.Errorf("data: %q is not KIND:DIR (kinds: %s)", spec, strings.Join(Kinds(), ", "))
	}
	if _, err := KindByName(kind); err != nil {
		return "", "", err
	}
	if rest, ok := strings.CutPrefix(dir, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", "", fmt.Errorf("data: %s: %w", spec, err)
		}
		dir = filepath.Join(home, rest)
	}
	return kind, dir, nil
}

// Once refuses a list of sets that names one twice: its images would count
// twice, and those of one split would be in the other.
func Once(specs []string) error {
	seen := map[string]string{}
	for _, spec := range specs {
		_, dir, err := ParseSpec(spec)
		if err != nil {
			return err
		}
		at := dir
		if abs, err := filepath.Abs(dir); err == nil {
			at = abs
		}
		if real, err := filepath.EvalSymlinks(at); err == nil {
			at = real
		}
		key := strings.SplitN(spec, ":", 2)[0] + ":" + at
		if before, twice := seen[key]; twice {
			return fmt.Errorf("data: %s and %s are one set: name it once", before, spec)
		}
		seen[key] = spec
	}
	return nil
}

// listing is what lies in a set's folder.
type listing struct {
	items   []item
	bad     []Bad          // rows and names that cannot be read
	skipped map[string]int // files that are no pictures of the set, by the reason
}

func (l *listing) skip(reason string) {
	if l.skipped == nil {
		l.skipped = map[string]int{}
	}
	l.skipped[reason]++
}

// item is a listed image that is not read yet.
type item struct {
	path      string // relative to the set's folder
	says      []said
	published string  // the split that the set itself puts it in
	row       []uint8 // 48x48 pixels of a CSV row; nil: the image is in a file
	box       box     // the part of the image that is the face; zero: all of it
	// photograph tells that the face stands in surroundings, near the middle: it
	// is found and framed as on a board, and is no sample when it is not found.
	photograph bool
}

// box is a part of an image, in pixels.
type box struct{ x, y, width, height int }
