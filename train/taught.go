package train

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"mien/runtime/model"
	"mien/train/checkpoint"
	"mien/train/data"
)

// Taught is what taught a head of a checkpoint.
type Taught struct {
	Images   int      `json:"images"`             // that have a label of it; those of the teachers' answers, where there are teachers
	Sets     []string `json:"sets"`               // kinds of the data sets that have one
	Epochs   int      `json:"epochs"`             // all runs together
	Teachers bool     `json:"teachers,omitempty"` // their answers taught it beside the labels
	// Since is the number of epochs that trained the network on without this
	// head, whose answers rest on what the others need now.
	Since int `json:"since,omitempty"`
}

// TaughtBy returns what taught each head of a checkpoint. A head that is not
// in it was never taught: it answers at random. Of a checkpoint that was
// written before this was recorded, or by others, the heads are taken as taught
// that its recipe has a loss for and its validation images a label.
func TaughtBy(f *checkpoint.File) (map[string]Taught, error) {
	if text := f.Meta[MetaTaught]; text != "" {
		var t map[string]Taught
		return t, json.Unmarshal([]byte(text), &t)
	}
	heads, err := headsOf(f)
	if err != nil {
		return nil, err
	}
	var losses Losses
	if text := f.Meta[MetaRecipe]; text != "" {
		r, err := ParseRecipe("in the checkpoint", []byte(text), nil)
		if err != nil {
			return nil, err
		}
		losses = r.Losses
	}
	var val *Metrics
	if text := f.Meta[MetaVal]; text != "" {
		if err := json.Unmarshal([]byte(text), &val); err != nil {
			return nil, err
		}
	}
	epochs, _ := strconv.Atoi(f.Meta[MetaEpoch]) // 0: not told
	t := map[string]Taught{}
	for _, h := range heads {
		if losses != nil && losses[h.Name] == 0 {
			continue
		}
		if val != nil && (val.Heads[h.Name] == nil || val.Heads[h.Name].N == 0) {
			continue
		}
		t[h.Name] = Taught{Epochs: epochs}
	}
	return t, nil
}

// Untaught returns the heads of a checkpoint that nothing has taught.
func Untaught(f *checkpoint.File) ([]string, error) {
	t, err := TaughtBy(f)
	if err != nil {
		return nil, err
	}
	heads, err := headsOf(f)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range heads {
		if _, ok := t[h.Name]; !ok {
			names = append(names, h.Name)
		}
	}
	return names, nil
}

// Silent returns the heads of a run's recipe that nothing would teach: no
// training image has a label of theirs, and no teacher answers.
func Silent(o *Options) ([]string, error) {
	taught := map[string]bool{}
	for _, teacher := range o.Teachers {
		path, names := CutTeacher(teacher)
		f, err := checkpoint.Read(path)
		if err != nil {
			return nil, fmt.Errorf("train: teacher: %w", err)
		}
		heads, err := headsOf(f)
		if err != nil {
			return nil, fmt.Errorf("train: teacher %s: %w", path, err)
		}
		for _, h := range heads {
			taught[h.Name] = taught[h.Name] || names == nil || slices.Contains(names, h.Name)
		}
	}
	var silent []string
	for _, h := range o.Recipe.Heads {
		if o.Recipe.Losses[h.Name] > 0 && !taught[h.Name] && !slices.ContainsFunc(o.Sets, func(s *data.Set) bool { return teachesHead(s, model.IndexEqual(s.Heads, h)) }) {
			silent = append(silent, h.Name)
		}
	}
	return silent, nil
}

func teachesHead(s *data.Set, head int) bool {
	return head >= 0 && slices.ContainsFunc(s.Samples, func(x data.Sample) bool { return x.Split == data.Train && x.Answers(head) })
}

// taught adds this run to what had taught its first weights.
func (r *run) taught() map[string]Taught {
	all := map[string]Taught{}
	for i, h := range r.heads {
		t, had := r.state.Before[h.Name]
		images := 0
		for k := range r.train {
			if r.train[k].Answers(h.at) {
				images++
			}
		}
		asked := r.teachers.answers(i)
		switch {
		case r.weights[i] > 0 && (images > 0 || asked):
			if t.Teachers = t.Teachers || asked; asked {
				images = len(r.train)
			}
			t.Images, t.Since = max(t.Images, images), 0
			t.Epochs += r.state.Epoch
			for _, s := range r.o.Sets {
				if teachesHead(s, h.at) && !slices.Contains(t.Sets, s.Kind) {
					t.Sets = append(slices.Clone(t.Sets), s.Kind)
				}
			}
		case had:
			t.Since += r.state.Epoch
		default:
			continue
		}
		all[h.Name] = t
	}
	return all
}

// measureStart measures the weights of an earlier run before this one changes
// them: a head that this one does not train may lose by it.
func (r *run) measureStart(ctx context.Context) error {
	if r.state.From == "" || r.state.Start != nil || r.state.Step > 0 {
		return nil
	}
	m, err := r.validate(ctx)
	if err != nil {
		return err
	}
	r.state.Start = map[string]float64{}
	for name, h := range m.Heads {
		if h.N > 0 {
			r.state.Start[name] = h.Accuracy
		}
	}
	return r.save()
}

// Drop is a head that a run did not train, and what that did to it.
type Drop struct {
	Head          string
	Before, After float64 // accuracy on the images that validate
}

// drops returns the taught heads that this run left alone.
func (r *run) drops() []Drop {
	if r.state.BestEpoch < 1 || r.state.BestEpoch > len(r.log) {
		return nil
	}
	best := r.log[r.state.BestEpoch-1].Val
	var out []Drop
	for i, h := range r.heads {
		_, had := r.state.Before[h.Name]
		before, measured := r.state.Start[h.Name]
		after, still := best[h.Name]
		if r.weights[i] == 0 && had && measured && still {
			out = append(out, Drop{h.Name, before, after.Accuracy})
		}
	}
	return out
}
