package train

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"

	"mien/runtime/infer"
	"mien/runtime/model"
	"mien/train/arch"
	"mien/train/checkpoint"
	"mien/train/data"
	"mien/train/nn"
)

// Open makes the network of a checkpoint, with its weights.
func Open(path string, batch, threads int) (*nn.Net, error) {
	return openIn(nn.Float32, path, batch, threads)
}

func openIn(p nn.Precision, path string, batch, threads int) (*nn.Net, error) {
	f, err := checkpoint.Read(path)
	if err != nil {
		return nil, err
	}
	a, err := NetOf(f)
	if err != nil {
		return nil, fmt.Errorf("train: %s: %w", path, err)
	}
	net, err := nn.NewIn(p, a, batch, max(threads, 1))
	if err != nil {
		return nil, err
	}
	if err := SetWeights(net, f); err != nil {
		return nil, fmt.Errorf("train: %s: %w", path, err)
	}
	return net, nil
}

// NetOf returns the network that a checkpoint is of. One that was written by
// others, who have no metadata, is the paper's.
func NetOf(f *checkpoint.File) (arch.Net, error) {
	heads, err := headsOf(f)
	if err != nil {
		return arch.Net{}, err
	}
	filter := model.Filter(f.Meta[MetaFilter])
	if layers := f.Meta[MetaNet]; layers != "" {
		n := arch.Net{Name: f.Meta[MetaArch], Filter: filter, Heads: heads}
		if err := json.Unmarshal([]byte(layers), &n.Body); err != nil {
			return n, fmt.Errorf("its network cannot be read: %w", err)
		}
		return n, n.Check()
	}
	n, err := arch.ByName(cmp.Or(f.Meta[MetaArch], "paper"), heads)
	if err != nil {
		return n, err
	}
	n.Filter = filter
	return n, n.Check()
}

// nameNet writes into a checkpoint which network it is of: by name, by its
// layers, where only its maker has the name's file, and its filter.
func nameNet(f *checkpoint.File, n arch.Net) error {
	f.Meta[MetaArch] = n.Name
	if n.Filter != model.NoFilter {
		f.Meta[MetaFilter] = string(n.Filter)
	}
	if arch.Carried(n.Name) {
		return nil
	}
	layers, err := json.Marshal(n.Body)
	if err != nil {
		return fmt.Errorf("train: network %s: %w", n.Name, err)
	}
	f.Meta[MetaNet] = string(layers)
	return nil
}

// headsOf returns the heads of a checkpoint. One that does not name them has
// the paper's.
func headsOf(f *checkpoint.File) ([]model.Head, error) {
	text := f.Meta[MetaHeads]
	if text == "" {
		return model.Heads(), nil
	}
	var heads []model.Head
	if err := json.Unmarshal([]byte(text), &heads); err != nil {
		return nil, fmt.Errorf("its heads cannot be read: %w", err)
	}
	return heads, model.CheckHeads(heads)
}

// MetaEpsilon is where a checkpoint of another program says what its batch norms
// add to a variance.
const MetaEpsilon = "batch_norm_epsilon"

// Import returns a checkpoint of the network with the weights of f, which
// another program wrote: every tensor that the network has, of its shape. Where
// its metadata give another MetaEpsilon than arch.NormEpsilon, the batch norms'
// scales make up for it.
func Import(net arch.Net, f *checkpoint.File) (*checkpoint.File, error) {
	n, err := loaded(net, &checkpoint.File{Tensors: f.Tensors})
	if err != nil {
		return nil, err
	}
	heads, err := json.Marshal(net.Heads)
	if err != nil {
		return nil, fmt.Errorf("train: heads: %w", err)
	}
	out := &checkpoint.File{Meta: map[string]string{MetaHeads: string(heads)}}
	if err := nameNet(out, net); err != nil {
		return nil, err
	}
	if text := f.Meta[MetaEpsilon]; text != "" {
		epsilon, err := strconv.ParseFloat(text, 64)
		if err != nil || !(epsilon > 0 && epsilon < 1) {
			return nil, fmt.Errorf("%s %s is none: 1e-5, for one, is PyTorch's", MetaEpsilon, text)
		}
		rescale(n, epsilon)
	}
	for _, p := range n.Params() {
		out.Tensors = append(out.Tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	return out, nil
}

// rescale lets batch norms compute with arch.NormEpsilon what they did with another.
func rescale(n *nn.Net, epsilon float64) {
	value := map[string][]float32{}
	for _, p := range n.Params() {
		value[p.Name] = p.Value
	}
	for name, variance := range value {
		norm, ok := strings.CutSuffix(name, ".running_var")
		if !ok {
			continue
		}
		for i, scale := range value[norm+".weight"] {
			v := float64(variance[i])
			value[norm+".weight"][i] = float32(float64(scale) * math.Sqrt((v+arch.NormEpsilon)/(v+epsilon)))
		}
	}
}

// CheckWeights says which tensor of a network a checkpoint lacks, has in another
// shape, as Keras lays kernels, or with a value that is NaN or infinite.
func CheckWeights(net arch.Net, f *checkpoint.File) error {
	_, err := loaded(net, f)
	return err
}

func loaded(net arch.Net, f *checkpoint.File) (*nn.Net, error) {
	net.Frozen = len(net.Body) // nothing is learned, which saves memory
	n, err := nn.New(net, 1, 1)
	if err != nil {
		return nil, err
	}
	if err := SetWeights(n, f); err != nil {
		return nil, err
	}
	for _, p := range n.Params() {
		if !finite(p.Value) {
			return nil, fmt.Errorf("tensor %s holds NaN or infinity", p.Name)
		}
	}
	return n, nil
}

// evalBatch is the number of pictures that a network sees at once.
const evalBatch = 32

// EvalNet measures a network made for at least 32 pictures on samples whose
// labels go by heads, as Set.Heads has them. Progress may be nil.
func EvalNet(ctx context.Context, net *nn.Net, heads []model.Head, samples []data.Sample, progress func(done int)) (*Metrics, error) {
	m := NewMetrics(net.Arch.Heads)
	if progress == nil {
		progress = func(int) {}
	}
	x := make([]float32, evalBatch*data.Pixels)
	return m, predict(ctx, net, evalBatch, heads, samples, x, m, progress)
}

// EvalModel measures a model in an engine, as EvalNet does.
func EvalModel(ctx context.Context, mod infer.Model, heads []model.Head, samples []data.Sample, progress func(done int)) (*Metrics, error) {
	spec := mod.Spec()
	m := NewMetrics(spec.Heads)
	scores := spec.NewScores()
	face := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	for i := range samples {
		if ctx.Err() != nil {
			return nil, ErrInterrupted
		}
		copy(face.Pix, samples[i].Face)
		if err := mod.Predict(face, scores); err != nil {
			return nil, fmt.Errorf("%s: %w", samples[i].Path, err)
		}
		m.Said = append(m.Said, data.Unlabelled(heads))
		for k, h := range spec.Heads {
			if at := model.IndexEqual(heads, h); at >= 0 {
				m.Said[i][at] = int8(h.Answer(scores.Heads[k]))
				m.Heads[h.Name].count(scores.Heads[k], &samples[i], at)
			}
		}
		if progress != nil {
			progress(i + 1)
		}
	}
	m.Finish()
	return m, nil
}
