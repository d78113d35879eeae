package arch

import (
	"mien/runtime/model"
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
	if _, err := (Net{Name: "x", Body: []Layer{{Op: ReLU, Name: "r", Input: "nowhere"}}}).Cost(); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a layer that reads nothing: %v", err)
	}
}

// TestNetworks: names are unique, references go back, a head follows a vector.
func TestNetworks(t *testing.T) {
	for _, name := range []string{"paper", "edge", "wide"} {
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
	if _, err := ByName("resnet", model.Heads()); err == nil || !strings.Contains(err.Error(), "paper, edge and wide") {
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
