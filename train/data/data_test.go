package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"mien/camera/replay/portrait"
	"mien/runtime/model"
)

func labelsOf(s *Set) map[string]Labels {
	m := map[string]Labels{}
	for _, x := range s.Samples {
		rel, err := filepath.Rel(s.Dir, x.Path)
		if err != nil {
			rel = x.Path
		}
		m[filepath.ToSlash(rel)] = x.Labels
	}
	return m
}

func splitsOf(s *Set) map[string]string {
	m := map[string]string{}
	for _, x := range s.Samples {
		m[filepath.Base(x.Path)] = x.Split
	}
	return m
}

func TestFERFolders(t *testing.T) {
	dir := t.TempDir()
	for i, e := range []string{"surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"} {
		putFace(t, uint64(i), 48, dir, "train", e, fmt.Sprintf("any name %d.jpg", i))
		putFace(t, uint64(100+i), 48, dir, "test", e, fmt.Sprintf("PublicTest_%d.jpg", i))
	}
	put(t, filepath.Join(dir, "train", "README.txt"), []byte("not an image"))
	s := load(t, "fer2013:"+dir, Options{})
	if len(s.Samples) != 14 || !s.Published {
		t.Fatalf("%d samples, published %v", len(s.Samples), s.Published)
	}
	got := labelsOf(s)
	for i, e := range []string{"surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"} {
		l := got[fmt.Sprintf("train/%s/any name %d.jpg", e, i)]
		if want := (Labels{int8(i), NoLabel, NoLabel, NoLabel}); !slices.Equal(l, want) {
			t.Errorf("%s: %v, want %v", e, l, want)
		}
	}
	test, name, err := s.Select("")
	if err != nil || name != Test || len(test) != 7 {
		t.Errorf("default split %q with %d images, %v", name, len(test), err)
	}
}

func TestFERFoldersWithoutLevels(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		putFace(t, uint64(i), 60, dir, "Happiness", fmt.Sprintf("x%d.jpeg", i))
	}
	s := load(t, "fer2013:"+dir, Options{})
	all, name, err := s.Select("")
	if err != nil || name != All || len(all) != 5 || s.Published {
		t.Errorf("default split %q with %d images, %v", name, len(all), err)
	}
	if all[0].Labels[0] != 3 || len(all[0].Face) != Pixels {
		t.Errorf("%v, %d pixels", all[0].Labels, len(all[0].Face))
	}
}

const csvHead = "emotion,pixels,Usage\n"

// row is a row of fer2013.csv with drawn pixels.
func row(seed uint64, emotion, usage string) string {
	var b strings.Builder
	for i, v := range drawn(seed, ferSide).Pix {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, v)
	}
	return emotion + "," + b.String() + "," + usage + "\n"
}

func TestFERCSV(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "fer2013.csv"), []byte(csvHead+
		row(1, "0", "Training")+row(2, "5", "PublicTest")+row(3, "6", "PrivateTest")))
	s := load(t, "fer2013:"+dir, Options{})
	want := map[string]Labels{"fer2013.csv:0000002": {5, -1, -1, -1}, "fer2013.csv:0000003": {0, -1, -1, -1}, "fer2013.csv:0000004": {6, -1, -1, -1}}
	for path, l := range want {
		if !slices.Equal(labelsOf(s)[path], l) {
			t.Errorf("%s: %v, want %v", path, labelsOf(s)[path], l)
		}
	}
	splits := splitsOf(s)
	if splits["fer2013.csv:0000003"] != Test || splits["fer2013.csv:0000004"] != Private {
		t.Errorf("splits %v", splits)
	}
}

// ferText reads a table from memory.
func ferText(text string) (*listing, error) {
	t, err := newTable("fer2013.csv", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	l := &listing{}
	return l, ferRows(t, l)
}

// As programs and people save it: other columns' order, a byte order mark,
// codes as decimals, names for codes.
func TestFERCSVVariants(t *testing.T) {
	pixels := strings.Split(strings.TrimSpace(row(1, "3", "Training")), ",")[1]
	for name, text := range map[string]string{
		"icml":         "emotion, Usage, pixels\n3,Training," + pixels + "\n",
		"BOM":          "\ufeff" + csvHead + row(1, "3", "Training"),
		"decimal":      csvHead + row(1, "3.0", "Training"),
		"name":         csvHead + row(1, "Happiness", "Training"),
		"CRLF":         strings.ReplaceAll(csvHead+row(1, "3", "Training"), "\n", "\r\n"),
		"blank end":    csvHead + row(1, "3", "Training") + "\n\n",
		"upper case":   "EMOTION,PIXELS,USAGE\n" + row(1, "3", "training"),
		"little UTF16": utf16Text(csvHead+row(1, "3", "Training"), true),
		"big UTF16":    utf16Text(csvHead+row(1, "3", "Training"), false),
	} {
		l, err := ferText(text)
		if err != nil || len(l.items) != 1 || len(l.bad) != 0 {
			t.Errorf("%s: %+v, %v", name, l, err)
			continue
		}
		it := l.items[0]
		if it.says[0].label != "happy" || !slices.Equal(it.row, drawn(1, ferSide).Pix) || it.published != Train {
			t.Errorf("%s: %v in %q", name, it.says, it.published)
		}
	}
}

// utf16Text is s in UTF-16 with its byte order mark.
func utf16Text(s string, little bool) string {
	var b strings.Builder
	for _, u := range append([]uint16{0xfeff}, utf16.Encode([]rune(s))...) {
		hi, lo := byte(u>>8), byte(u)
		if little {
			hi, lo = lo, hi
		}
		b.WriteByte(hi)
		b.WriteByte(lo)
	}
	return b.String()
}

// A row that cannot be read costs that row, and is told by its line.
func TestFERCSVBadRows(t *testing.T) {
	for text, words := range map[string][]string{
		row(1, "7", "Training"):     {":3", `emotion "7"`},
		row(1, "0.5", "Training"):   {":3", `emotion "0.5"`},
		row(1, "0", "Trial"):        {":3", `usage "Trial"`},
		"0,1 2 3,Training\n":        {":3", "3 pixels"},
		"0,1 256,Training\n":        {":3", `pixel "256"`},
		"0,1\n":                     {":3", "2 fields, want 3"},
		row(1, "0", "Training")[:9]: {":3", "fields"},
		"--- end of file ---":       {":3", "1 fields"},
	} {
		l, err := ferText(csvHead + row(9, "1", "Training") + text)
		if err != nil || len(l.items) != 1 || len(l.bad) != 1 {
			t.Errorf("%.20q: %d items, bad %v, %v", text, len(l.items), l.bad, err)
			continue
		}
		for _, w := range words {
			if got := l.bad[0].Path + ": " + l.bad[0].Err.Error(); !strings.Contains(got, w) {
				t.Errorf("%.20q: %q does not say %q", text, got, w)
			}
		}
	}
	for text, word := range map[string]string{"": "header", "a,b\n1,2\n": "no columns emotion and pixels"} {
		if l, err := ferText(text); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %+v, %v", text, l, err)
		}
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "fer2013.csv"), []byte(csvHead+row(1, "0", "Training")+"0,1 2,Training\n"))
	if s := load(t, "fer2013:"+dir, Options{}); len(s.Samples) != 1 || len(s.Bad) != 1 {
		t.Errorf("%d samples, bad %v", len(s.Samples), s.Bad)
	}
	if _, err := Load(t.Context(), "fer2013:"+dir, Options{Strict: true}); err == nil || !strings.Contains(err.Error(), "fer2013.csv:3") {
		t.Errorf("strict: %v", err)
	}
}

// The layouts of its copies on the web.
func TestFERFolderVariants(t *testing.T) {
	for name, c := range map[string]struct{ path, split string }{
		"codes":             {"train/3/1.jpg", Train},
		"synonym":           {"train/Happiness/1.jpg", Train},
		"valid":             {"valid/happy/1.jpg", Val},
		"val":               {"val/happy/1.jpg", Val},
		"validation":        {"validation/happy/1.jpg", Val},
		"images in between": {"images/train/happy/1.jpg", Train},
		"images below":      {"test/images/happy/1.jpg", Test},
		"a folder of one":   {"FER-2013 (1)/PublicTest/happy/1.jpg", Test},
		"private":           {"PrivateTest/happy/1.jpg", Private},
		"images last":       {"train/happy/images/1.png.jpg", Train},
	} {
		dir := t.TempDir()
		putFace(t, 1, 48, dir, c.path)
		putFace(t, 2, 48, dir, strings.Replace(c.path, "1.", "2.", 1))
		put(t, filepath.Join(dir, "__MACOSX", "train", "happy", "._1.jpg"), []byte("resource fork"))
		put(t, filepath.Join(dir, filepath.Dir(c.path), "Thumbs.db"), []byte("x"))
		s, err := Load(t.Context(), "fer2013:"+dir, Options{Validation: 1e-9})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.Samples) != 2 || s.Samples[0].Labels[0] != 3 || s.Samples[0].Split != c.split || s.Skipped[".db files"] != 1 {
			t.Errorf("%s: %d samples, %v in %q, skipped %v", name, len(s.Samples), s.Samples[0].Labels, s.Samples[0].Split, s.Skipped)
		}
	}
}

// A validation split that a set brings is kept, and no training image joins it.
func TestPublishedValidationIsKept(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		putFace(t, uint64(i), 48, dir, "train", "happy", fmt.Sprintf("%d.jpg", i))
	}
	putFace(t, 100, 48, dir, "validation", "happy", "v.jpg")
	putFace(t, 3, 48, dir, "validation", "happy", "again.jpg")
	splits := splitsOf(load(t, "fer2013:"+dir, Options{Validation: 0.5}))
	for name, split := range splits {
		want := Train
		switch name {
		case "v.jpg", "again.jpg":
			want = Val
		case "3.jpg":
			want = "" // it is shown in validation
		}
		if split != want {
			t.Errorf("%s is in %q, want %q", name, split, want)
		}
	}
}

func votesRow(name string, votes ...int) string {
	out := name
	for _, v := range votes {
		out += fmt.Sprintf(",%d", v)
	}
	return out + "\n"
}

// The columns of FER+ are neutral, happiness, surprise, sadness, anger,
// disgust, fear, contempt, unknown, NF.
func TestFERPlus(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"clear", "split", "half", "contempt", "noface", "novotes"} {
		putFace(t, uint64(i), 48, dir, "train", "angry", name+".jpg")
	}
	const head = "image,folder,row,rms,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
	put(t, filepath.Join(dir, "ferplus-by-id.csv"), []byte(head+
		votesRow("clear.jpg,angry,1,0.5", 2, 6, 1, 0, 0, 0, 0, 0, 1, 0)+
		votesRow("split.jpg,angry,2,0.5", 4, 0, 0, 4, 2, 0, 0, 0, 0, 0)+
		votesRow("half.jpg,angry,5,0.5", 0, 5, 0, 3, 2, 0, 0, 0, 0, 0)+
		votesRow("contempt.jpg,angry,3,0.5", 2, 2, 0, 0, 0, 0, 0, 5, 1, 0)+
		votesRow("noface.jpg,angry,4,0.5", 0, 0, 0, 0, 0, 0, 0, 0, 0, 10)))
	s := load(t, "ferplus:"+dir, Options{Validation: 1e-9})
	if len(s.Samples) != 5 || s.Skipped["pictures without votes"] != 1 {
		t.Fatalf("%d samples, skipped %v", len(s.Samples), s.Skipped)
	}
	// surprise, fear, disgust, happy, sad, angry, neutral
	for name, want := range map[string]struct {
		label int8
		soft  []float32
	}{
		"clear.jpg":    {3, []float32{0, 0, 0, .75, 0, 0, .25}},
		"split.jpg":    {NoLabel, []float32{0, 0, 0, 0, .4, .2, .4}},
		"half.jpg":     {NoLabel, []float32{0, 0, 0, .5, .3, .2, 0}},
		"contempt.jpg": {NoLabel, nil},
		"noface.jpg":   {NoLabel, nil},
	} {
		i := slices.IndexFunc(s.Samples, func(x Sample) bool { return filepath.Base(x.Path) == name })
		x := s.Samples[i]
		var soft []float32
		if x.Soft != nil {
			soft = x.Soft[0]
		}
		if x.Labels[0] != want.label || !slices.Equal(soft, want.soft) || x.Answers(0) != (want.soft != nil) {
			t.Errorf("%s: %d, %v", name, x.Labels[0], soft)
		}
	}

	// Microsoft's table counts the rows of fer2013.csv.
	rows := t.TempDir()
	put(t, filepath.Join(rows, "fer2013.csv"), []byte(csvHead+row(1, "0", "Training")+row(2, "0", "PublicTest")))
	put(t, filepath.Join(rows, "fer2013new.csv"), []byte("Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"+
		votesRow("Training,fer0000000.png", 0, 0, 9, 0, 0, 0, 1, 0, 0, 0)+votesRow("PublicTest,", 10, 0, 0, 0, 0, 0, 0, 0, 0, 0)))
	got := labelsOf(load(t, "ferplus:"+rows, Options{}))
	if got["fer2013.csv:0000002"][0] != 0 || got["fer2013.csv:0000003"][0] != 6 {
		t.Errorf("%v", got)
	}
	put(t, filepath.Join(rows, "fer2013new.csv"), []byte("neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown\n"))
	wantError(t, "ferplus:"+rows, "fer2013new.csv", "no column nf")
	os.Remove(filepath.Join(rows, "fer2013new.csv"))
	wantError(t, "ferplus:"+rows, "no votes", "fer2013new.csv")
}

func smile() []model.Head { return []model.Head{{Name: "smile", Labels: []string{"yes", "no"}}} }

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for i := range 12 {
		putFace(t, uint64(i), 64, dir, []string{"Yes", "no"}[i%2], fmt.Sprintf("%d.jpg", i))
	}
	s := load(t, "folders:"+dir, Options{Heads: smile()})
	for path, l := range labelsOf(s) {
		if want := map[string]int8{"Yes": 0, "no": 1}[filepath.Dir(path)]; len(l) != 1 || l[0] != want {
			t.Errorf("%s: %v", path, l)
		}
	}
	// Of several heads the one whose labels the folders are.
	two := append(smile(), model.Head{Name: "mask", Labels: []string{"on", "off"}})
	if l := labelsOf(load(t, "folders:"+dir, Options{Heads: two}))["no/1.jpg"]; !slices.Equal(l, Labels{1, NoLabel}) {
		t.Errorf("of two heads: %v", l)
	}
	wantError(t, "folders:"+dir, "Yes", "emotion (surprise", "--head")
	putFace(t, 50, 64, dir, "maybe", "1.jpg")
	_, err := Load(t.Context(), "folders:"+dir, Options{Heads: smile()})
	if err == nil || !strings.Contains(err.Error(), `"maybe"`) || !strings.Contains(err.Error(), "yes, no") {
		t.Errorf("%v", err)
	}
}

func TestManifest(t *testing.T) {
	dir := t.TempDir()
	whole := drawn(5, 128)
	put(t, filepath.Join(dir, "p", "a.jpg"), jpegOf(t, whole, 95))
	put(t, filepath.Join(dir, "p", "b.jpg"), jpegOf(t, drawn(6, 64), 95))
	path := filepath.Join(dir, "list.csv")
	put(t, path, []byte("\ufeffPath,Smile,Age,Split,x,y,width,height\n"+
		"p\\a.jpg,yes,34,val,32,32,64,64\n"+
		"p/b.jpg,,70+,test,,,,\n"+
		"p/b.jpg,perhaps,,,,,,\n"+
		"p/a.jpg,no,5,,500,500,40,40\n"+
		"../c.jpg,no,5,,,,,\n"+
		"p/a.jpg,no,5,later,,,,\n"+
		"p/a.jpg,no,5,,1,2,3,\n"))
	heads := append(smile(), model.Age)
	s := load(t, "manifest:"+path, Options{Heads: heads})
	if len(s.Samples) != 2 || s.Samples[0].Split != Val || s.Samples[1].Split != Test {
		t.Fatalf("%+v", s.Samples)
	}
	if a, b := s.Samples[0].Labels, s.Samples[1].Labels; !slices.Equal(a, Labels{0, 2}) || !slices.Equal(b, Labels{NoLabel, 4}) {
		t.Errorf("%v, %v", a, b)
	}
	if s.Samples[0].Path != filepath.Join(dir, "p", "a.jpg") {
		t.Error(s.Samples[0].Path)
	}
	var bad []string
	for _, b := range s.Bad {
		bad = append(bad, filepath.Base(b.Path)+" "+b.Err.Error())
	}
	text := strings.Join(bad, "\n")
	for _, want := range []string{`list.csv:4 head smile has no label "perhaps" (it has yes, no)`, "a.jpg the box at 500,500", "list.csv:6", "list.csv:7 split", "list.csv:8 box"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said in\n%s", want, text)
		}
	}
	_, err := Load(t.Context(), "manifest:"+path, Options{})
	if err != nil {
		t.Errorf("age alone: %v", err)
	}
	if _, err = Load(t.Context(), "manifest:"+path, Options{Heads: []model.Head{{Name: "mask", Labels: []string{"on", "off"}}}}); err == nil || !strings.Contains(err.Error(), "mask") {
		t.Errorf("no head: %v", err)
	}
}

// One's own age bands are labels as good as the paper's.
func TestBands(t *testing.T) {
	own := model.Head{Name: "age", Labels: []string{"under 18", "18-29", "30-64", "65+"}}
	all, ok := bands(own)
	if !ok {
		t.Fatal("no bands")
	}
	for _, c := range []struct {
		lo, hi float64
		want   int8
	}{{0, 0, 0}, {17, 17, 0}, {18, 18, 1}, {29, 29, 1}, {64, 64, 2}, {65, 65, 3}, {116, 116, 3}, {20, 29, 1}, {60, 69, NoLabel}, {3, 9, 0}, {10, 19, 0}} {
		if got := bandOf(all, c.lo, c.hi); got != c.want {
			t.Errorf("%g to %g: %d, want %d", c.lo, c.hi, got, c.want)
		}
	}
	p := spread(all, 29, 3)
	if sum := p[0] + p[1] + p[2] + p[3]; math.Abs(float64(sum)-1) > 1e-6 || p[1] < 0.4 || p[2] < 0.3 || p[0] > 0.01 {
		t.Errorf("29 years, give or take 3: %v", p)
	}
	if _, ok := bands(model.Emotion); ok {
		t.Error("emotions are numbers")
	}
	if _, ok := bands(model.Head{Labels: []string{"20-39", "0-19"}}); ok {
		t.Error("bands out of order")
	}
	dir := t.TempDir()
	putFace(t, 1, 64, dir, "29_0_0_x.jpg")
	s := load(t, "utkface:"+dir, Options{Heads: []model.Head{own}, Spread: map[string]float64{"age": 3}})
	if x := s.Samples[0]; x.Labels[0] != 1 || !slices.Equal(x.Soft[0], p) {
		t.Errorf("%v %v", x.Labels, x.Soft)
	}
}

func TestUTKNames(t *testing.T) {
	a := newAnswers(model.Heads(), nil)
	for name, want := range map[string]Labels{
		"1_0_0_20161219.jpg":             {-1, 0, 0, 0},
		"4_1_1_20161219.jpg.chip.jpg":    {-1, 1, 1, 1},
		"19_1_2_x.jpg":                   {-1, 1, 2, 1},
		"20_0_3_x.jpg":                   {-1, 0, -1, 2},
		"69_0_4_x.jpg":                   {-1, 0, -1, 3},
		"116_1_0_x.jpg":                  {-1, 1, 0, 4},
		"61_3_20170109150557335.jpg":     {-1, -1, -1, 3}, // as published: a field is missing
		"53__0_20170116184028385.jpg":    {-1, -1, 0, 3},
		"39_1_20170116174525125.jpg.jpg": {-1, -1, -1, 2},
	} {
		says, err := parseUTK(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _, _ := a.of(says, false); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"x.jpg", "old_0_0_x.jpg", "-1_0_0_x.jpg", "131_0_0_x.jpg", "5_2_0_x.jpg", "5_0_5_x.jpg", "5_0_x_x.jpg"} {
		if l, err := parseUTK(name); err == nil {
			t.Errorf("%s was accepted as %v", name, l)
		}
	}
}

func TestUTKLayouts(t *testing.T) {
	for _, sub := range []string{"", "part1", "UTKFace", "any/name", "images"} {
		dir := t.TempDir()
		putFace(t, 1, 64, dir, sub, "30_0_0_x.jpg")
		putFace(t, 2, 64, dir, sub, "no name.jpg")
		put(t, filepath.Join(dir, "__MACOSX", "31_0_0_x.jpg"), []byte("x"))
		s := load(t, "utkface:"+dir, Options{})
		if len(s.Samples) != 1 || len(s.Bad) != 1 || filepath.Base(s.Bad[0].Path) != "no name.jpg" {
			t.Errorf("%q: %d samples, bad %v", sub, len(s.Samples), s.Bad)
		}
	}
}

func TestRAF(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "basic/EmoLabel/list_patition_label.txt"),
		[]byte("train_00001.jpg 5\ntest_0001.jpg 1\ntrain_00002.jpg 7\n"))
	for i, stem := range []string{"train_00001", "test_0001", "train_00002"} {
		putFace(t, uint64(i), 100, dir, "basic/Image/aligned", stem+"_aligned.jpg")
	}
	put(t, filepath.Join(dir, "basic/Annotation/manual/train_00001_manu_attri.txt"),
		[]byte("10.5\t20\n30 20\n20 30\n12 40\n28 40\n1\n2\n3\n"))
	s := load(t, "rafdb:"+dir, Options{})
	got := labelsOf(s)
	if l := got["basic/Image/aligned/train_00001_aligned.jpg"]; !slices.Equal(l, Labels{4, 1, 2, 3}) {
		t.Errorf("train_00001: %v", l)
	}
	if l := got["basic/Image/aligned/test_0001_aligned.jpg"]; !slices.Equal(l, Labels{0, -1, -1, -1}) {
		t.Errorf("test_0001: %v", l)
	}
	if sp := splitsOf(s)["test_0001_aligned.jpg"]; sp != Test {
		t.Errorf("test_0001 is in %q", sp)
	}
	// Attributes that say nothing cost those labels, no more.
	put(t, filepath.Join(dir, "basic/Annotation/manual/train_00001_manu_attri.txt"), nil)
	put(t, filepath.Join(dir, "basic/Annotation/manual/test_0001_manu_attri.txt"), []byte("1 2 3 4 5 6 7 8 9 10 0 0 5"))
	s = load(t, "rafdb:"+dir, Options{})
	if l := labelsOf(s)["basic/Image/aligned/train_00001_aligned.jpg"]; !slices.Equal(l, Labels{4, -1, -1, -1}) || len(s.Samples) != 3 {
		t.Errorf("%v of %d", l, len(s.Samples))
	}
	if s.Skipped["attribute files that say nothing"] != 2 {
		t.Errorf("skipped %v", s.Skipped)
	}
}

// The list in the forms in which it goes round.
func TestRAFLists(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		label string
	}{
		"published":     {"train_1.jpg 4", "happy"},
		"three columns": {"train_1.jpg 4 0.93", "happy"},
		"from 0":        {"train_1.jpg 3\ntrain_2.jpg 0", "happy"},
		"aligned names": {"train_1_aligned.jpg 4", "happy"},
		"BOM":           {"\ufefftrain_1.jpg 4", "happy"},
		"CRLF":          {"train_1.jpg 4\r\n", "happy"},
	} {
		l := &listing{}
		if err := parseRAFList(l, "list", c.text); err != nil || len(l.bad) != 0 || l.items[0].says[0].label != c.label || l.items[0].path != "train_1" {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
	for _, text := range []string{"train_1.jpg", "train_1.jpg 8", "train_1.jpg x", "other_1.jpg 1", "train_/../../etc.jpg 1"} {
		l := &listing{}
		if err := parseRAFList(l, "list", "train_0.jpg 1\n"+text); err != nil || len(l.items) != 1 || len(l.bad) != 1 || l.bad[0].Path != "list:2" {
			t.Errorf("%q: %+v, %v", text, l, err)
		}
	}
	if err := parseRAFList(&listing{}, "list", "train_0.jpg 0\ntrain_1.jpg 7"); err == nil || !strings.Contains(err.Error(), "0 to 6 or 1 to 7") {
		t.Errorf("0 and 7: %v", err)
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "EmoLabel/list_partition_label.txt"), []byte("test_1.jpg 6"))
	putFace(t, 1, 100, dir, "Image/aligned/test_1_aligned.jpg")
	if l := labelsOf(load(t, "rafdb:"+dir, Options{}))["Image/aligned/test_1_aligned.jpg"]; l[0] != 5 {
		t.Errorf("%v", l)
	}
	spread := t.TempDir()
	putFace(t, 1, 100, spread, "DATASET/train/4/train_00001_aligned.jpg")
	putFace(t, 2, 100, spread, "DATASET/test/1/test_0001_aligned.jpg")
	put(t, filepath.Join(spread, "train_labels.csv"), []byte("image,label\ntrain_00001_aligned.jpg,4\n"))
	s := load(t, "rafdb:"+spread, Options{Validation: 1e-9})
	if got := labelsOf(s); got["DATASET/train/4/train_00001_aligned.jpg"][0] != 3 || got["DATASET/test/1/test_0001_aligned.jpg"][0] != 0 {
		t.Errorf("%v", got)
	}
	if got := splitsOf(s); got["train_00001_aligned.jpg"] != Train || got["test_0001_aligned.jpg"] != Test {
		t.Errorf("%v", got)
	}
}

func TestFairFace(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "fairface_label_train.csv"),
		[]byte("file,age,gender,race,service_test\ntrain/1.jpg,3-9,Female,East Asian,True\ntrain/2.jpg,more than 70,Male,Indian,False\n"))
	put(t, filepath.Join(dir, "fairface_label_val.csv"), // as saved by others
		[]byte("\ufeffFile,age,gender,race,service_test\r\nval\\1.jpg,0-2,male,Black,True\r\nval/2.jpg,70+,female,White,True\r\n../1.jpg,0-2,Male,Black,\r\n"))
	putFace(t, 1, 64, dir, "train/1.jpg")
	putFace(t, 2, 64, dir, "train/2.jpg")
	putFace(t, 3, 64, dir, "val/1.jpg")
	putFace(t, 4, 64, dir, "val/2.jpg")
	s := load(t, "fairface:"+dir, Options{})
	want := map[string]Labels{"train/1.jpg": {-1, 1, 2, 1}, "train/2.jpg": {-1, 0, -1, 4}, "val/1.jpg": {-1, 0, 1, 0}, "val/2.jpg": {-1, 1, 0, 4}}
	for path, l := range want {
		if !slices.Equal(labelsOf(s)[path], l) {
			t.Errorf("%s: %v, want %v", path, labelsOf(s)[path], l)
		}
	}
	if len(s.Bad) != 1 || !strings.Contains(s.Bad[0].Err.Error(), "does not lie") || !strings.HasSuffix(s.Bad[0].Path, "fairface_label_val.csv:4") {
		t.Errorf("bad: %v", s.Bad)
	}
}

// A head that measures takes a column of numbers, and UTKFace's years.
func TestNumbers(t *testing.T) {
	age := model.NewNumber("age", 0, 100, "years")
	dir := t.TempDir()
	for i := range 4 {
		putFace(t, uint64(i), 64, dir, fmt.Sprintf("%d.jpg", i))
	}
	put(t, filepath.Join(dir, "m.csv"), []byte("path,age\n0.jpg,34.5\n1.jpg,\n2.jpg,101\n3.jpg,old\n"))
	s := load(t, "manifest:"+filepath.Join(dir, "m.csv"), Options{Heads: []model.Head{age}})
	if len(s.Samples) != 2 || s.Samples[0].Labels[0] != 7 || s.Samples[1].Answers(0) {
		t.Fatalf("%+v", s.Samples)
	}
	if got := s.Samples[0].Number(0, age.Values()); math.Abs(got-34.5) > 1e-4 {
		t.Errorf("34.5 years are read as %g", got)
	}
	if len(s.Bad) != 2 || !strings.HasSuffix(s.Bad[0].Path, "m.csv:4") || !strings.Contains(s.Bad[0].Err.Error(), `a number within 0..100 years, not "101"`) {
		t.Errorf("bad: %v", s.Bad)
	}
	utk := t.TempDir()
	putFace(t, 9, 64, utk, "61_0_1_2017.jpg")
	s = load(t, "utkface:"+utk, Options{Heads: []model.Head{age}})
	if got := s.Samples[0].Number(0, age.Values()); math.Abs(got-61) > 1e-4 {
		t.Errorf("61 years are read as %g", got)
	}
	folders := t.TempDir()
	putFace(t, 1, 64, folders, "35", "a.jpg")
	if _, err := Load(context.Background(), "folders:"+folders, Options{Heads: []model.Head{age}}); err == nil || !strings.Contains(err.Error(), "manifest, with a column age") {
		t.Errorf("folders of numbers: %v", err)
	}
}

// A photograph's face is found as on a board; one without a face near its
// middle is no sample, and is counted.
func TestFairFacePhotographs(t *testing.T) {
	dir := t.TempDir()
	whole := portrait.Gray()
	middle := image.NewGray(image.Rect(0, 0, 320, 320)) // the portrait's face is not in the portrait's middle
	for y := range 320 {
		for x := range 320 {
			middle.Pix[y*320+x] = whole.GrayAt(x+60, max(y-40, 0)).Y
		}
	}
	put(t, filepath.Join(dir, "a.jpg"), jpegOf(t, middle, 95))
	put(t, filepath.Join(dir, "b.jpg"), jpegOf(t, whole, 95)) // its face is far up
	putFace(t, 1, 200, dir, "c.jpg")
	put(t, filepath.Join(dir, "ground_truth.json"), []byte(`[
 {"id": "1", "filename": "a.jpg", "age": "30-39", "gender": "Female"},
 {"id": "2", "filename": "b.jpg", "age": "70+", "gender": "Male", "race": "Black"},
 {"id": "3", "filename": "c.jpg", "age": "0-2", "gender": "Male"},
 {"id": "4", "filename": "d.jpg", "age": "old", "gender": "Male"}
]`))
	cache := t.TempDir()
	s := load(t, "fairface:"+dir, Options{CacheDir: cache})
	if got := labelsOf(s); len(got) != 1 || !slices.Equal(got["a.jpg"], Labels{-1, 1, -1, 2}) {
		t.Errorf("samples %v, want a.jpg alone", got)
	}
	if got := splitsOf(s); got["a.jpg"] != Test {
		t.Errorf("splits %v: what is for measuring trains", got)
	}
	if len(s.Unfound) != 2 || filepath.Base(s.Unfound[0].Path) != "b.jpg" || filepath.Base(s.Unfound[1].Path) != "c.jpg" {
		t.Errorf("unfound %v, want b.jpg and c.jpg", s.Unfound)
	}
	if all, found := s.FoundBy(1); !slices.Equal(all, []int{2, 1, 0}) || !slices.Equal(found, []int{0, 1, 0}) {
		t.Errorf("of %v men and women %v are found, want one woman", all, found)
	}
	if len(s.Bad) != 1 || !strings.HasSuffix(s.Bad[0].Path, "ground_truth.json:5") || !strings.Contains(s.Bad[0].Err.Error(), `age "old"`) {
		t.Errorf("bad: %v", s.Bad)
	}
	if kept, err := os.ReadDir(cache); err != nil || len(kept) > 0 {
		t.Errorf("the cache has %v (%v): another finder would find other faces", kept, err)
	}

	for text, want := range map[string][]string{
		`[{"filename": "c.jpg", "age": "0-2", "gender": "Male"}]`: {"no face was found in any of the 1 photographs"},
		"{}":                     {"ground_truth.json:1", "want a list"},
		"[\n {\"filename\": 3}]": {"ground_truth.json:2", "Filename"},
		`[{"filename": "../x.jpg", "age": "0-2", "gender": "Male"}]`: {"does not lie in the set's folder"},
	} {
		put(t, filepath.Join(dir, "ground_truth.json"), []byte(strings.ReplaceAll(text, `\n`, "\n")))
		wantError(t, "fairface:"+dir, want...)
	}
}

// Pictures of every format are read; what is transparent lies on grey.
func TestFormats(t *testing.T) {
	dir := t.TempDir()
	img := drawn(1, 64)
	clear := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		clear.Pix[4*i], clear.Pix[4*i+3] = img.Pix[i], 1
	}
	for name, encode := range map[string]func(io.Writer) error{
		"a.bmp":  func(w io.Writer) error { return bmp.Encode(w, img) },
		"b.tiff": func(w io.Writer) error { return tiff.Encode(w, img, nil) },
		"c.png":  func(w io.Writer) error { return png.Encode(w, img) },
		"d.png":  func(w io.Writer) error { return png.Encode(w, clear) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "yes", name), b.Bytes())
	}
	put(t, filepath.Join(dir, "no", "e.webp"), tinyWebP)
	put(t, filepath.Join(dir, "no", "f.gif"), []byte("GIF89a"))
	s := load(t, "folders:"+dir, Options{Heads: smile()})
	if len(s.Samples) != 4 || s.Skipped[".gif files"] != 1 || len(s.Bad) != 1 || filepath.Base(s.Bad[0].Path) != "e.webp" || !strings.Contains(s.Bad[0].Err.Error(), "1x1") {
		t.Fatalf("%d samples, skipped %v, bad %v", len(s.Samples), s.Skipped, s.Bad)
	}
	if s.Marked(Flattened) != 1 || s.Samples[3].Marks&Flattened == 0 {
		t.Errorf("%d pictures are laid on grey", s.Marked(Flattened))
	}
	for _, v := range s.Samples[3].Face {
		if v < 120 || v > 135 {
			t.Fatalf("a transparent picture has grey %d", v)
		}
	}
	if !slices.Equal(s.Samples[0].Face, s.Samples[2].Face) {
		t.Error("BMP and PNG of one picture differ")
	}
}

// tinyWebP is a lossless picture of one pixel.
var tinyWebP = []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")

func TestOnce(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Once([]string{"utkface:" + dir, "fer2013:" + dir}); err != nil {
		t.Errorf("two kinds: %v", err)
	}
	for _, again := range []string{dir, dir + "/", dir + "/../" + filepath.Base(dir), link} {
		if err := Once([]string{"utkface:" + dir, "utkface:" + again}); err == nil || !strings.Contains(err.Error(), "once") {
			t.Errorf("%s twice: %v", again, err)
		}
	}
	t.Setenv("HOME", dir)
	if _, got, err := ParseSpec("utkface:~/faces"); err != nil || got != filepath.Join(dir, "faces") {
		t.Errorf("%q, %v", got, err)
	}
}

// Every kind has all that a user and a card need to know of it.
func TestKindsAreComplete(t *testing.T) {
	for _, k := range kinds {
		if k.Name == "" || k.Terms == "" || k.Layout == "" || k.list == nil || k.Title == "" && k.Terms != own {
			t.Errorf("%+v lacks something", k)
		}
	}
	if !slices.IsSorted(Kinds()) {
		t.Error("kinds are not in order")
	}
}

// The page of the data sets says of each what the table says, and where it is
// to be had.
func TestKindsAreOnThePage(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		_, section, found := strings.Cut(string(b), "\n## "+k.Name+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		words := strings.Join(strings.Fields(section), " ")
		if !found || !strings.Contains(section, "\n    "+k.Layout+"\n") || !strings.Contains(words, k.Title) || !strings.Contains(words, k.Terms) {
			t.Errorf("train/data/README.md does not say of %s: %s; %s; %s", k.Name, k.Title, k.Terms, k.Layout)
		}
		if k.Terms != own && !strings.Contains(section, "](http") {
			t.Errorf("train/data/README.md does not say where %s is to be had", k.Name)
		}
	}
}

func TestBadInputNamesTheFile(t *testing.T) {
	empty := t.TempDir()
	wantError(t, "fer2013:"+empty, "no images", empty)
	wantError(t, "utkface:"+empty, "no images", empty)
	wantError(t, "fer2013:"+empty+"/none", empty+"/none")
	wantError(t, "mnist:"+empty, `"mnist"`, "fer2013")
	wantError(t, empty, "KIND:DIR")

	odd := t.TempDir()
	putFace(t, 1, 48, odd, "bored", "1.jpg")
	putFace(t, 1, 48, odd, "loose.jpg")
	wantError(t, "fer2013:"+odd, "bored", "surprise")

	cut := t.TempDir()
	whole := jpegOf(t, drawn(1, 48), 90)
	put(t, filepath.Join(cut, "happy", "cut.jpg"), whole[:len(whole)/2])
	wantError(t, "fer2013:"+cut, filepath.Join(cut, "happy", "cut.jpg"))
	putFace(t, 2, 48, cut, "happy", "good.jpg")
	s := load(t, "fer2013:"+cut, Options{})
	if len(s.Samples) != 1 || len(s.Bad) != 1 || s.Bad[0].Path != filepath.Join(cut, "happy", "cut.jpg") {
		t.Errorf("%d samples, bad %v", len(s.Samples), s.Bad)
	}
	if _, err := Load(t.Context(), "fer2013:"+cut, Options{Strict: true}); err == nil || !strings.Contains(err.Error(), "cut.jpg") {
		t.Errorf("strict: %v", err)
	}

	label := t.TempDir()
	putFace(t, 1, 48, label, "20_7_0_x.jpg")
	wantError(t, "utkface:"+label, filepath.Join(label, "20_7_0_x.jpg"), "gender")
	text := t.TempDir()
	put(t, filepath.Join(text, "happy", "a.txt"), []byte("x"))
	wantError(t, "fer2013:"+text, "no images", "1 .txt files")
}

// The same picture saved again, brighter, is still the same picture, and
// lands on the same side.
func TestDuplicatesDoNotCrossSplits(t *testing.T) {
	dir := t.TempDir()
	for i := range 60 {
		putFace(t, uint64(i), 48, dir, "train", "happy", fmt.Sprintf("a%02d.jpg", i))
		again := drawn(uint64(i), 48)
		for k, v := range again.Pix {
			again.Pix[k] = uint8(min(int(v)+2, 255))
		}
		put(t, filepath.Join(dir, "train", "sad", fmt.Sprintf("b%02d.jpg", i)), jpegOf(t, again, 70))
		if i < 5 {
			putFace(t, uint64(i), 48, dir, "test", "happy", fmt.Sprintf("c%02d.jpg", i))
		}
	}
	s := load(t, "fer2013:"+dir, Options{Validation: 0.3})
	splits := splitsOf(s)
	count := map[string]int{}
	for i := range 60 {
		a, b := splits[fmt.Sprintf("a%02d.jpg", i)], splits[fmt.Sprintf("b%02d.jpg", i)]
		if a != b {
			t.Errorf("picture %d is in %q and %q", i, a, b)
		}
		if i < 5 && a != "" {
			t.Errorf("picture %d is in test and in %q", i, a)
		}
		count[a]++
	}
	if count[Val] < 5 || count[Train] < 25 {
		t.Errorf("splits %v of 60 pairs, want about 30%% in val", count)
	}
}

func TestSplitDependsOnSeedButTestDoesNot(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		putFace(t, uint64(i), 32, dir, fmt.Sprintf("30_0_0_%03d.jpg", i))
	}
	a := splitsOf(load(t, "utkface:"+dir, Options{Seed: 1}))
	again := splitsOf(load(t, "utkface:"+dir, Options{Seed: 1}))
	b := splitsOf(load(t, "utkface:"+dir, Options{Seed: 2}))
	moved, count := 0, map[string]int{}
	for name, x := range a {
		count[x]++
		if again[name] != x {
			t.Errorf("%s: %s, then %s", name, x, again[name])
		}
		if (x == Test) != (b[name] == Test) {
			t.Errorf("%s: %s with seed 1 and %s with seed 2", name, x, b[name])
		}
		if x != b[name] {
			moved++
		}
	}
	if moved == 0 {
		t.Error("the seed changes nothing")
	}
	// What is measured unless asked otherwise has taught nothing.
	if some, name, err := load(t, "utkface:"+dir, Options{Seed: 1}).Select(""); err != nil || name != Test || len(some) != count[Test] {
		t.Errorf("default split %q with %d images, %v", name, len(some), err)
	}
	if count[Test] < 8 || count[Test] > 40 || count[Val] < 6 || count[Val] > 36 {
		t.Errorf("splits %v of 200", count)
	}
}

// A smaller part to validate is a part of the larger, so that networks trained
// with either can be told apart on it; and a part is what it has to be.
func TestValidationParts(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		putFace(t, uint64(i), 32, dir, fmt.Sprintf("30_0_0_%03d.jpg", i))
	}
	large := splitsOf(load(t, "utkface:"+dir, Options{Seed: 1, Validation: 0.4}))
	n := 0
	for name, x := range splitsOf(load(t, "utkface:"+dir, Options{Seed: 1, Validation: 0.2})) {
		if x != Val {
			continue
		}
		if n++; large[name] != Val {
			t.Errorf("%s is in val by a fifth and %s by two fifths", name, large[name])
		}
	}
	if n < 20 || n > 60 {
		t.Errorf("%d of about 180 are a fifth", n)
	}
	for _, v := range []float64{-0.1, 1, math.NaN()} {
		if _, err := Load(t.Context(), "utkface:"+dir, Options{Validation: v}); err == nil || !strings.Contains(err.Error(), "validation") {
			t.Errorf("validation %g: %v", v, err)
		}
	}
}

func TestLimitIsPerPublishedSplit(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		putFace(t, uint64(i), 32, dir, "train", []string{"happy", "sad"}[i%2], fmt.Sprintf("%d.jpg", i))
		putFace(t, uint64(50+i), 32, dir, "test", "happy", fmt.Sprintf("t%d.jpg", i))
	}
	s := load(t, "fer2013:"+dir, Options{Limit: 8})
	n := map[string]int{}
	for _, x := range s.Samples {
		n[filepath.Base(filepath.Dir(filepath.Dir(x.Path)))]++
	}
	if n["train"] != 8 || n["test"] != 8 {
		t.Errorf("%v, want 8 each", n)
	}
}

func TestCache(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	for i := range 10 {
		putFace(t, uint64(i), 48, dir, "happy", fmt.Sprintf("%d.jpg", i))
	}
	prepared := 0
	o := Options{CacheDir: cache, Progress: func(done, total int) { prepared = done }}
	first := load(t, "fer2013:"+dir, o)
	if prepared != 10 {
		t.Errorf("%d prepared at first", prepared)
	}
	prepared = 0
	part := o
	part.Limit = 4
	some := load(t, "fer2013:"+dir, part)
	if prepared != 0 || len(some.Samples) != 4 {
		t.Errorf("%d prepared of a part, %d samples", prepared, len(some.Samples))
	}
	for _, x := range some.Samples {
		i := slices.IndexFunc(first.Samples, func(y Sample) bool { return y.Path == x.Path })
		if !slices.Equal(x.Face, first.Samples[i].Face) {
			t.Errorf("%s of the part has another face", x.Path)
		}
	}
	second := load(t, "fer2013:"+dir, o)
	if prepared != 0 {
		t.Errorf("%d prepared with a cache", prepared)
	}
	for i := range first.Samples {
		a, b := first.Samples[i], second.Samples[i]
		if !slices.Equal(a.Face, b.Face) || a.ID != b.ID || a.Split != b.Split || !slices.Equal(a.Labels, b.Labels) {
			t.Errorf("%s differs from the cache", a.Path)
		}
	}
	files, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cache holds %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	put(t, files[0], b)
	if third := load(t, "fer2013:"+dir, o); prepared != 10 || !slices.Equal(third.Samples[5].Face, first.Samples[5].Face) {
		t.Errorf("a broken cache was used (%d prepared)", prepared)
	}
	putFace(t, 77, 48, dir, "happy", "3.jpg")
	prepared = 0
	old, err := os.Stat(filepath.Join(dir, "happy", "5.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	same, err := os.ReadFile(filepath.Join(dir, "happy", "5.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	same[len(same)-20] ^= 0x10 // of the same size and time
	put(t, filepath.Join(dir, "happy", "5.jpg"), same)
	if err := os.Chtimes(filepath.Join(dir, "happy", "5.jpg"), old.ModTime(), old.ModTime()); err != nil {
		t.Fatal(err)
	}
	fourth := load(t, "fer2013:"+dir, o)
	if prepared != 10 || slices.Equal(fourth.Samples[3].Face, first.Samples[3].Face) || fourth.Samples[5].ID == first.Samples[5].ID {
		t.Errorf("two changed images were not seen (%d prepared)", prepared)
	}
}

// A cache that cannot be written is said, and is no reason to stop.
func TestCacheThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	putFace(t, 1, 48, dir, "happy", "1.jpg")
	blocked := filepath.Join(t.TempDir(), "file")
	put(t, blocked, []byte("no folder"))
	s := load(t, "fer2013:"+dir, Options{CacheDir: filepath.Join(blocked, "mien")})
	if len(s.Samples) != 1 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "XDG_CACHE_HOME") {
		t.Errorf("%d samples, notes %q", len(s.Samples), s.Notes)
	}
}

func TestLoadStopsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	putFace(t, 1, 48, dir, "happy", "1.jpg")
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Load(ctx, "fer2013:"+dir, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSelectErrors(t *testing.T) {
	dir := t.TempDir()
	putFace(t, 1, 48, dir, "happy", "1.jpg")
	s := load(t, "fer2013:"+dir, Options{})
	for _, split := range []string{"trial", Private} {
		if _, _, err := s.Select(split); err == nil || !strings.Contains(err.Error(), split) {
			t.Errorf("%s: %v", split, err)
		}
	}
}

func FuzzFERCSV(f *testing.F) {
	f.Add(csvHead + row(1, "0", "Training"))
	f.Add("emotion, Usage, pixels\n3,Training,1 2")
	f.Add("pixels,emotion\n\"1\n2\",0")
	f.Add(utf16Text(csvHead, true))
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ferText(s)
		if err != nil {
			return
		}
		for _, it := range l.items {
			if len(it.row) != ferSide*ferSide || labelOf(model.Emotion, it.says[0].label) < 0 {
				t.Errorf("accepted %d pixels, %v", len(it.row), it.says)
			}
		}
	})
}

func FuzzLabels(f *testing.F) {
	f.Add("1_0_0_2016.jpg")
	f.Add("train_1.jpg 3\ntest_2.jpg 7")
	f.Add("1 2 3 4 5 6 7 8 9 10 0 1 2")
	f.Add("file,age,gender,race\na/b.jpg,0-2,Male,White")
	f.Add("path,emotion,age,split,x,y,width,height\na/b.jpg,happy,34,val,1,2,3,4")
	f.Add("image,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\na.jpg,1,2,3,4,0,0,0,0,0,0")
	a := newAnswers(model.Heads(), map[string]float64{"age": 3})
	f.Fuzz(func(t *testing.T, s string) {
		check := func(says []said) {
			l, soft, _ := a.of(says, false)
			for h, head := range model.Heads() {
				if l[h] < NoLabel || int(l[h]) >= len(head.Labels) {
					t.Errorf("%q: labels %v", s, l)
				}
				if soft == nil || soft[h] == nil {
					continue
				}
				var sum float32
				for _, p := range soft[h] {
					sum += p
				}
				if !(sum > 0.999 && sum < 1.001) {
					t.Errorf("%q: soft labels %v", s, soft[h])
				}
			}
		}
		if says, err := parseUTK(s); err == nil {
			check(says)
		}
		if says, err := parseRAFAttributes(s); err == nil {
			check(says)
		}
		all := &listing{}
		parseRAFList(all, "list", s)
		for _, read := range []func(*table) error{
			func(t *table) error { return fairRows(t, Train, all) },
			func(t *table) error { return manifestRows(t, model.Heads(), all) },
			func(t *table) error {
				votes, _, err := parseVotes(t)
				for _, v := range votes {
					check([]said{{head: "emotion", votes: v}})
				}
				return err
			},
		} {
			if table, err := newTable("x", strings.NewReader(s)); err == nil {
				read(table)
			}
		}
		for _, it := range all.items {
			check(it.says)
			if !filepath.IsLocal(it.path) {
				t.Errorf("%q leads out of the set's folder", it.path)
			}
		}
	})
}

// TestMissing: a folder or a table that is not there is called so.
func TestMissing(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	for _, k := range Kinds() {
		wantError(t, k+":"+gone, gone+" is missing")
	}
}
