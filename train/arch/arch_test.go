package arch

import (
	"mien/runtime/model"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCost: the paper's network is as large as its authors say, edge as small
// as its boards need.
func TestCost(t *testing.T) {
	paper, err := Paper(model.Heads()).Cost()
	if err != nil {
		t.Fatal(err)
	}
	if paper.MultiplyAdds < 520e6 || paper.MultiplyAdds > 535e6 || paper.Parameters < 2.35e6 || paper.Parameters > 2.45e6 {
		t.Errorf("paper: %+v, want 0.53 G multiply-adds and 2.4 M parameters", paper)
	}
	edge, err := Edge(model.Heads()).Cost()
	if err != nil {
		t.Fatal(err)
	}
	if edge.MultiplyAdds > 60e6 || edge.MultiplyAdds < 20e6 || edge.Parameters > 750e3 || edge.Parameters < 100e3 {
		t.Errorf("edge: %+v, want at most 60 M multiply-adds and 0.75 M parameters", edge)
	}
	eyes, err := carried("eyes", model.Heads()).Cost()
	if err != nil {
		t.Fatal(err)
	}
	if eyes.MultiplyAdds > 3e6 {
		t.Errorf("eyes: %+v, want at most 3 M multiply-adds", eyes)
	}
	if _, err := (Net{Name: "x", Body: []Layer{{Op: ReLU, Name: "r", Input: "nowhere"}}}).Cost(); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a layer that reads nothing: %v", err)
	}
}

// TestNetworks: names are unique, references go back, a head follows a vector.
func TestNetworks(t *testing.T) {
	for _, name := range Names() {
		n, err := ByName(name, model.Heads())
		if err != nil {
			t.Fatal(err)
		}
		seen := []string{"input"}
		for _, l := range n.Body {
			if slices.Contains(seen, l.Name) || l.Name == "" {
				t.Errorf("%s: layer name %q is taken or empty", name, l.Name)
			}
			for _, ref := range []string{l.Input, l.With} {
				if ref != "" && !slices.Contains(seen, ref) {
					t.Errorf("%s: %s reads %q, which is not before it", name, l.Name, ref)
				}
			}
			seen = append(seen, l.Name)
		}
		if n.Name != name || len(n.Heads) != 4 {
			t.Errorf("%s is called %q and has %d heads", name, n.Name, len(n.Heads))
		}
	}
	if _, err := ByName("alexnet", model.Heads()); err == nil || !strings.Contains(err.Error(), "there are edge, eyes, facenet, fine, mobilenet, paper, ") {
		t.Errorf("an unknown name: %v", err)
	}
}

// TestEdgeMaps: what an Edge TPU cannot do is not in edge, and every norm
// folds into the convolution before it.
func TestEdgeMaps(t *testing.T) {
	body := Edge(model.Heads()).Body
	maps := []Op{Conv, Depthwise, BatchNorm, ReLU, ReLU6, Mean, Dense, Dropout, Add, MaxPool}
	for i, l := range body {
		if !slices.Contains(maps, l.Op) {
			t.Errorf("%s is %s, which an Edge TPU does not map", l.Name, l.Op)
		}
		if l.Op == BatchNorm && (i == 0 || body[i-1].Op != Conv || !body[i-1].NoBias || l.Input != "") {
			t.Errorf("%s does not fold", l.Name)
		}
	}
}

// TestFiles: what a network's file says wrongly is named.
func TestFiles(t *testing.T) {
	const good = `blocks:
  pair:
    - {op: conv, name: <name>_conv, out: <n>, kernel: 3, bias: false}
    - {op: bn, name: <name>_bn}
body:
  - {block: pair, name: a, n: 4}
  - {block: pair, name: b, n: 4}
  - {op: add, name: sum, with: a_bn}
  - {op: mean, name: mean}
`
	path := filepath.Join(t.TempDir(), "own.yaml")
	load := func(text string) (Net, error) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return ByName(path, model.Heads())
	}
	n, err := load(good)
	if err != nil || n.Name != "own" || len(n.Body) != 6 || n.Body[2].Name != "b_conv" || !n.Body[2].NoBias || n.Body[2].Out != 4 {
		t.Errorf("%+v, %v", n, err)
	}
	for want, change := range map[string][2]string{
		"nothing is said for <n>":    {", n: 4}\n  - {op: add", "}\n  - {op: add"},
		`no block "pear"`:            {"block: pair, name: a", "block: pear, name: a"},
		`"a_conv" is empty or taken`: {"name: b, n", "name: a, n"},
		`adds "nowhere"`:             {"with: a_bn", "with: nowhere"},
		"with is missing":            {", with: a_bn", ""},
		"out is not for it":          {"op: mean,", "op: mean, out: 3,"},
		`op "softmax" is none of`:    {"op: mean", "op: softmax"},
		"unknown field":              {"kernel: 3", "kernle: 3"},
		"beyond what":                {"kernel: 3", "kernel: 99"},
		"more than 8":                {"{op: bn, name: <name>_bn}", "{block: pair, name: x, n: 1}"},
		"no layers":                  {good, "body: []\n"},
	} {
		if _, err := load(strings.Replace(good, change[0], change[1], 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	taken := filepath.Join(t.TempDir(), "edge.yaml")
	if err := os.WriteFile(taken, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ByName(taken, model.Heads()); err == nil || !strings.Contains(err.Error(), "carries one of that name") {
		t.Errorf("a file called as a carried network: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		b, err := netFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, err := parse(b); err == nil {
			_ = Net{Name: "fuzz", Body: body, Heads: model.Heads()}.Check() // either is right, a panic is not
		}
	})
}
