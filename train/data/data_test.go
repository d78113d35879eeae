package data

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
		if want := (Labels{int8(i), NoLabel, NoLabel, NoLabel}); l != want {
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
	if all[0].Labels[Emotion] != 3 || len(all[0].Face) != Pixels {
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
		if labelsOf(s)[path] != l {
			t.Errorf("%s: %v, want %v", path, labelsOf(s)[path], l)
		}
	}
	splits := splitsOf(s)
	if splits["fer2013.csv:0000003"] != Test || splits["fer2013.csv:0000004"] != Private {
		t.Errorf("splits %v", splits)
	}
}

func TestFERCSVOtherOrder(t *testing.T) {
	line := strings.Split(strings.TrimSpace(row(1, "3", "Training")), ",")
	items, err := parseFER(strings.NewReader("emotion, Usage, pixels\n3,Training,"+line[1]+"\n"), "icml.csv")
	if err != nil || len(items) != 1 || items[0].labels[Emotion] != 3 || len(items[0].row) != ferSide*ferSide {
		t.Errorf("%v, %v", items, err)
	}
}

func TestFERCSVErrors(t *testing.T) {
	for text, words := range map[string][]string{
		"":                                    {"header"},
		"a,b\n1,2\n":                          {"no columns emotion and pixels"},
		csvHead + row(1, "7", "Training"):     {"line 2", `emotion "7"`},
		csvHead + row(1, "0", "Trial"):        {"line 2", `usage "Trial"`},
		csvHead + "0,1 2 3,Training\n":        {"line 2", "3 pixels"},
		csvHead + "0,1 256,Training\n":        {"line 2", `pixel "256"`},
		csvHead + "0,1\n":                     {"line 2", "wrong number of fields"},
		csvHead + row(1, "0", "Training")[:9]: {"line 2"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "fer2013.csv")
		put(t, path, []byte(text))
		if text == "" {
			wantError(t, "fer2013:"+dir, append(words, path)...)
			continue
		}
		wantError(t, "fer2013:"+dir, append(words, path)...)
	}
}

func TestUTKNames(t *testing.T) {
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
		got, err := parseUTK(name)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"x.jpg", "old_0_0_x.jpg", "-1_0_0_x.jpg", "131_0_0_x.jpg", "5_2_0_x.jpg", "5_0_5_x.jpg", "5_0_x_x.jpg"} {
		if l, err := parseUTK(name); err == nil {
			t.Errorf("%s was accepted as %v", name, l)
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
	if l := got["basic/Image/aligned/train_00001_aligned.jpg"]; l != (Labels{4, 1, 2, 3}) {
		t.Errorf("train_00001: %v", l)
	}
	if l := got["basic/Image/aligned/test_0001_aligned.jpg"]; l != (Labels{0, -1, -1, -1}) {
		t.Errorf("test_0001: %v", l)
	}
	if sp := splitsOf(s)["test_0001_aligned.jpg"]; sp != Test {
		t.Errorf("test_0001 is in %q", sp)
	}
	put(t, filepath.Join(dir, "basic/Annotation/manual/test_0001_manu_attri.txt"), []byte("1 2 3 4 5 6 7 8 9 10 0 0 5"))
	wantError(t, "rafdb:"+dir, "test_0001_manu_attri.txt", `age "5"`)
}

func TestRAFListErrors(t *testing.T) {
	for _, text := range []string{"train_1.jpg", "train_1.jpg 0", "train_1.jpg 8", "train_1.jpg x", "other_1.jpg 1", "train_/../../etc.jpg 1"} {
		if items, err := parseRAFList(strings.NewReader("train_0.jpg 1\n" + text)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v, %v", text, items, err)
		}
	}
}

func TestFairFace(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "fairface_label_train.csv"),
		[]byte("file,age,gender,race,service_test\ntrain/1.jpg,3-9,Female,East Asian,True\ntrain/2.jpg,more than 70,Male,Indian,False\n"))
	put(t, filepath.Join(dir, "fairface_label_val.csv"),
		[]byte("file,age,gender,race,service_test\nval/1.jpg,0-2,Male,Black,True\n"))
	putFace(t, 1, 64, dir, "train/1.jpg")
	putFace(t, 2, 64, dir, "train/2.jpg")
	putFace(t, 3, 64, dir, "val/1.jpg")
	s := load(t, "fairface:"+dir, Options{})
	want := map[string]Labels{"train/1.jpg": {-1, 1, 2, 1}, "train/2.jpg": {-1, 0, -1, 4}, "val/1.jpg": {-1, 0, 1, 0}}
	for path, l := range want {
		if labelsOf(s)[path] != l {
			t.Errorf("%s: %v, want %v", path, labelsOf(s)[path], l)
		}
	}
	put(t, filepath.Join(dir, "fairface_label_val.csv"), []byte("file,age,gender,race\n../1.jpg,0-2,Male,Black\n"))
	wantError(t, "fairface:"+dir, "fairface_label_val.csv", "line 2", "does not lie")
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
	wantError(t, "fer2013:"+odd, "bored", "surprise")

	cut := t.TempDir()
	whole := jpegOf(t, drawn(1, 48), 90)
	put(t, filepath.Join(cut, "happy", "cut.jpg"), whole[:len(whole)/2])
	putFace(t, 2, 48, cut, "happy", "good.jpg")
	wantError(t, "fer2013:"+cut, filepath.Join(cut, "happy", "cut.jpg"))

	label := t.TempDir()
	putFace(t, 1, 48, label, "20_7_0_x.jpg")
	wantError(t, "utkface:"+label, filepath.Join(label, "20_7_0_x.jpg"), "gender")
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
		if !slices.Equal(a.Face, b.Face) || a.ID != b.ID || a.Split != b.Split || a.Labels != b.Labels {
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
	if load(t, "fer2013:"+dir, o); prepared != 10 {
		t.Errorf("a changed image was not seen (%d prepared)", prepared)
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
	f.Fuzz(func(t *testing.T, s string) {
		items, err := parseFER(strings.NewReader(s), "x")
		if err != nil {
			return
		}
		for _, it := range items {
			if len(it.row) != ferSide*ferSide || it.labels[Emotion] < 0 || it.labels[Emotion] > 6 {
				t.Errorf("accepted %d pixels, labels %v", len(it.row), it.labels)
			}
		}
	})
}

func FuzzLabels(f *testing.F) {
	f.Add("1_0_0_2016.jpg")
	f.Add("train_1.jpg 3\ntest_2.jpg 7")
	f.Add("1 2 3 4 5 6 7 8 9 10 0 1 2")
	f.Add("file,age,gender,race\na/b.jpg,0-2,Male,White")
	f.Fuzz(func(t *testing.T, s string) {
		check := func(l Labels) {
			for h, n := range []int8{7, 3, 3, 5} {
				if l[h] < NoLabel || l[h] >= n {
					t.Errorf("%q: labels %v", s, l)
				}
			}
		}
		if l, err := parseUTK(s); err == nil {
			check(l)
		}
		l := None
		if parseRAFAttributes(s, &l) == nil {
			check(l)
		}
		raf, _ := parseRAFList(strings.NewReader(s))
		fair, _ := parseFairFace(strings.NewReader(s), Train)
		for _, it := range append(raf, fair...) {
			check(it.labels)
			if !filepath.IsLocal(it.path) {
				t.Errorf("%q leads out of the set's folder", it.path)
			}
		}
	})
}
