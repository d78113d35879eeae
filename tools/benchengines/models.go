package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"mien/quant"
	"mien/runtime/graph/flatfile"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/export"
	"mien/train/nn"
)

// networks are those of train/arch that are compared; one that does not exist
// (yet) is left out.
var networks = []string{"paper", "edge"}

// benchModel is a .tflite file with random weights: what it says does not
// matter for its speed.
type benchModel struct {
	name string
	path string
	data []byte
	int8 bool
}

// writeModels writes every network in float32 and int8 into dir.
func writeModels(ctx context.Context, dir string) ([]benchModel, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var out []benchModel
	for _, name := range networks {
		net, err := arch.ByName(name, model.Heads())
		if err != nil {
			continue
		}
		for _, mode := range []quant.Mode{quant.Float32, quant.Int8} {
			data, err := build(ctx, net, mode)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", name, mode, err)
			}
			m := benchModel{name: name + " " + string(mode), data: data, int8: mode == quant.Int8}
			m.path = filepath.Join(dir, fmt.Sprintf("%s-%s.tflite", name, mode))
			if err := os.WriteFile(m.path, data, 0o644); err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	}
	return out, nil
}

func build(ctx context.Context, net arch.Net, mode quant.Mode) ([]byte, error) {
	n, err := nn.New(net, 1, 1)
	if err != nil {
		return nil, err
	}
	n.Init(1)
	weights := map[string][]float32{}
	for _, p := range n.Params() {
		weights[p.Name] = p.Value
	}
	g, err := export.Graph(net, weights, nil)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 2))
	var faces quant.Faces
	for range 8 {
		f := make(quant.Face, model.Side*model.Side)
		for i := range f {
			f[i] = uint8(r.IntN(256))
		}
		faces = append(faces, f)
	}
	res, err := quant.Build(ctx, g, faces, quant.Recipe{Mode: mode}, quant.Options{})
	if err != nil {
		return nil, err
	}
	return flatfile.Marshal(res.Graph)
}
