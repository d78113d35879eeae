package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeChain(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chain.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestChainRefuses: what could not run is told before anything does, with the
// step.
func TestChainRefuses(t *testing.T) {
	const first = "steps:\n  - {name: a, recipe: edge, data: [fer2013]}\n"
	for what, c := range map[string]struct{ text, want string }{
		"nothing":     {"about: x\n", "no steps"},
		"a key":       {"stages: []\n", "stages"},
		"no name":     {"steps:\n  - {recipe: edge, data: [fer2013]}\n", "step 1 (): name"},
		"a way out":   {"steps:\n  - {name: ../a, recipe: edge, data: [fer2013]}\n", "no folder's"},
		"twice":       {first + "  - {name: a, recipe: edge, data: [fer2013]}\n", "step 2 (a): its name is taken"},
		"recipe":      {"steps:\n  - {name: a, recipe: nosuch, data: [fer2013]}\n", "no recipe \"nosuch\""},
		"key":         {"steps:\n  - {name: a, recipe: edge, set: [lrr=1], data: [fer2013]}\n", "lrr"},
		"data":        {"steps:\n  - {name: a, recipe: edge}\n", "no kind of data"},
		"kind":        {"steps:\n  - {name: a, recipe: edge, data: [imagenet]}\n", "imagenet"},
		"start":       {first + "  - {name: b, recipe: edge, data: [fer2013], from: c}\n", "c is no step before it"},
		"itself":      {"steps:\n  - {name: a, recipe: edge, data: [fer2013], from: a}\n", "a is no step before it"},
		"no teacher":  {"steps:\n  - {name: a, recipe: edge-distill, data: [fer2013]}\n", "0 teachers"},
		"not distill": {first + "  - {name: b, recipe: edge, data: [fer2013], teachers: [a]}\n", "1 teachers"},
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := LoadChain(writeChain(t, c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestChains: the chains of the repository can run: their recipes and starts are
// there.
func TestChains(t *testing.T) {
	files, err := filepath.Glob("chains/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no chains: %v", err)
	}
	for _, f := range files {
		c, err := LoadChain(f)
		if err != nil {
			t.Error(err)
			continue
		}
		if c.About == "" {
			t.Errorf("%s says nothing of itself", f)
		}
	}
}

// TestChainLeft: a step without teachers takes three passes an image, one whose
// two teachers are asked five; what is done is not left.
func TestChainLeft(t *testing.T) {
	c, err := LoadChain(writeChain(t, `steps:
  - {name: a, recipe: edge, set: [epochs=2], data: [fer2013]}
  - {name: b, recipe: edge-distill, set: [epochs=4, views=3], data: [fer2013], from: a, teachers: [a, a]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if _, known := c.Left(nil); known {
		t.Error("the time left is known before anything ran")
	}
	logs := map[string][]Epoch{"a": {{Epoch: 1, Images: 300, ImagesPerS: 3}}}
	for _, want := range []time.Duration{
		// 3 passes x 300 images take 100 s: 1 s for each 9 of them.
		(300*3 + 3*300*5 + 300*3) / 9 * time.Second,
		(3*300*5 + 300*3) / 9 * time.Second,
	} {
		got, known := c.Left(logs)
		if !known || (got-want).Abs() > time.Second {
			t.Errorf("left %v (%v), want %v", got, known, want)
		}
		logs["a"] = append(logs["a"], Epoch{Epoch: 2, Images: 300, ImagesPerS: 3})
	}
	// A network that has run goes on at its own pace, whatever the others'.
	c, err = LoadChain(writeChain(t, `steps:
  - {name: a, recipe: edge, set: [epochs=1], data: [fer2013]}
  - {name: b, recipe: edge, set: [epochs=1, arch=mobilenet], data: [fer2013]}
  - {name: c, recipe: edge, set: [epochs=2], data: [fer2013]}
`))
	if err != nil {
		t.Fatal(err)
	}
	logs = map[string][]Epoch{"a": {{Epoch: 1, Images: 300, ImagesPerS: 3}}, "b": {{Epoch: 1, Images: 300, ImagesPerS: 1}}}
	if got, known := c.Left(logs); !known || (got-200*time.Second).Abs() > time.Second {
		t.Errorf("left %v (%v), want two epochs as the first", got, known)
	}
	if got := c.Checkpoint("a", "out"); got != filepath.Join("out", "a", BestFile) {
		t.Errorf("step a is at %s", got)
	}
}
