package flatfile

import (
	"fmt"
	"slices"
	"strings"

	"mien/runtime/graph"
	"mien/runtime/model"
)

// SpecOf says what face model g is: its heads are those of the card in its
// metadata, or, when there is none, those of the paper that outputs are called
// as. The errors say which tensor is not as a face model has it.
func SpecOf(g *graph.Graph) (*model.Spec, error) {
	spec := &model.Spec{}
	var err error
	if spec.Filter, err = checkInput(g); err != nil {
		return nil, fmt.Errorf("flatfile: %w", err)
	}
	if b := g.Meta(model.CardKey); b != nil {
		card, err := model.ParseCard(b)
		if err != nil {
			return nil, fmt.Errorf("flatfile: %w", err)
		}
		spec.Card = card
		if card.Filter != spec.Filter {
			return nil, fmt.Errorf("flatfile: the card says filter %q, and the input is called %q", card.Filter, spec.Filter.Input())
		}
	}
	want := spec.Card.Heads
	if want == nil {
		want = model.Heads()
	}
	for _, h := range want {
		i := output(g, h.Name)
		if i < 0 {
			if spec.Card.Heads != nil {
				return nil, fmt.Errorf("flatfile: the card promises head %q, but no output is called so (outputs: %s)",
					h.Name, outputNames(g))
			}
			continue
		}
		if t := g.Tensors[i]; t.Elems() != len(h.Labels) {
			return nil, fmt.Errorf("flatfile: output %q has shape %v, want %d values", h.Name, t.Shape, len(h.Labels))
		}
		if err := checkScale(g.Tensors[i]); err != nil {
			return nil, fmt.Errorf("flatfile: output %w", err)
		}
		spec.Heads = append(spec.Heads, h)
	}
	if len(spec.Heads) == 0 {
		return nil, fmt.Errorf("flatfile: the file has no card, and no output is called emotion, gender, race or age (outputs: %s)", outputNames(g))
	}
	return spec, nil
}

// checkInput returns the filter that the input asks for.
func checkInput(g *graph.Graph) (model.Filter, error) {
	if len(g.Inputs) != 1 {
		return "", fmt.Errorf("%d inputs, want one called %q", len(g.Inputs), model.InputName)
	}
	t := g.Tensors[g.Inputs[0]]
	filter, err := model.FilterOf(t.Name)
	if err != nil {
		return "", err
	}
	if !slices.Equal(t.Shape, []int{1, model.Side, model.Side, 1}) {
		return "", fmt.Errorf("input %q has shape %v, want [1 %d %d 1]", t.Name, t.Shape, model.Side, model.Side)
	}
	if err := checkScale(t); err != nil {
		return "", fmt.Errorf("input %w", err)
	}
	return filter, nil
}

// checkScale says what is wrong with the type of an input or output.
func checkScale(t *graph.Tensor) error {
	switch t.Type {
	case graph.Float32:
		return nil
	case graph.Int8, graph.UInt8, graph.Int16:
		if t.Quant == nil || len(t.Quant.Scale) != 1 || !(t.Quant.Scale[0] > 0) {
			return fmt.Errorf("%q is of type %s and has no scale", t.Name, t.Type)
		}
		return nil
	}
	return fmt.Errorf("%q is of type %s", t.Name, t.Type)
}

func output(g *graph.Graph, name string) int {
	for _, i := range g.Outputs {
		if g.Tensors[i].Name == name {
			return i
		}
	}
	return -1
}

func outputNames(g *graph.Graph) string {
	var names []string
	for _, i := range g.Outputs {
		names = append(names, g.Tensors[i].Name)
	}
	return strings.Join(names, " ")
}
