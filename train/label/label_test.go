package label

import (
	"path/filepath"
	"strings"
	"testing"

	"mien/runtime/model"
	"mien/train/data"
)

// TestWrite: what the set says stays, what the model says is filled in where it
// is sure enough, and nothing else.
func TestWrite(t *testing.T) {
	heads := []model.Head{{Name: "emotion", Labels: []string{"happy", "sad"}}, {Name: "gender", Labels: []string{"male", "female"}}, {Name: "age", Labels: []string{"young", "old"}}}
	dir := t.TempDir()
	sample := func(name, split string, labels ...int8) data.Sample {
		return data.Sample{Path: filepath.Join(dir, name), Split: split, Labels: labels}
	}
	samples := []data.Sample{
		sample("a/1.jpg", data.Val, 1, -1, -1),
		sample("b,2.jpg", data.Test, 0, 0, -1),
		sample("3.jpg", "", 0, -1, 1),
	}
	answers := [][][]float32{{{.5, .5}, {.1, .9}, {.6, .4}}, {{1, 0}, {.2, .8}, {.3, .7}}, {{1, 0}, {.55, .45}, {.5, .5}}}
	n := 0
	ask := func(...[]uint8) ([][][]float32, error) { n++; return answers[n-1 : n], nil }
	var b strings.Builder
	counts, err := Write(&b, heads, samples, ask, Options{Dir: dir, Heads: []string{"gender"}, Least: 0.7}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	const want = `path,split,emotion,gender,gender_p,age
a/1.jpg,train,sad,female,0.9000,
"b,2.jpg",test,happy,male,1.0000,
3.jpg,train,happy,,0.5500,old
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	if c := *counts["gender"]; c != (Count{1, 1, 1}) {
		t.Errorf("gender: %+v", c)
	}
	n = 0
	if _, err := Write(&b, heads, samples, ask, Options{Dir: filepath.Join(dir, "a")}, func(int) {}); err == nil || !strings.Contains(err.Error(), "does not lie in") {
		t.Errorf("a picture outside: %v", err)
	}
}
