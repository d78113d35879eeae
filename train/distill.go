package train

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"

	"mien/train/nn"
)

// teachers are trained networks whose answers a run learns beside the labels
// (Hinton et al. 2015, arXiv 1503.02531, at temperature 1). They see each
// batch just as the student does.
type teachers struct {
	nets  []*nn.Net
	hash  string  // of their files; empty without one
	share float32 // of the target
}

// newTeachers opens the checkpoints. Each has to answer every head of the
// student.
func newTeachers(o *Options, heads []head) (*teachers, error) {
	switch {
	case o.Recipe.Distill > 0 && len(o.Teachers) == 0:
		return nil, errors.New("train: the recipe's distill is not 0, so name a --teacher")
	case o.Recipe.Distill == 0 && len(o.Teachers) > 0:
		return nil, errors.New("train: a teacher is named, but the recipe's distill is 0 (--set distill=0.5)")
	}
	t := &teachers{share: float32(o.Recipe.Distill)}
	sum := sha256.New()
	for _, path := range o.Teachers {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("train: teacher: %w", err)
		}
		sum.Write(b)
		net, err := Open(path, o.Recipe.Batch, o.Threads)
		if err != nil {
			return nil, err
		}
		for _, h := range heads {
			if answer(net, h) < 0 {
				return nil, fmt.Errorf("train: teacher %s has no head %s", path, h.Name)
			}
		}
		t.nets = append(t.nets, net)
	}
	if len(t.nets) > 0 {
		t.hash = fmt.Sprintf("%x", sum.Sum(nil)[:16])
	}
	return t, nil
}

// answer is the place of a head among a teacher's, or -1.
func answer(net *nn.Net, h head) int {
	for k, x := range net.Arch.Heads {
		if x.Name == h.Name && slices.Equal(x.Labels, h.Labels) {
			return k
		}
	}
	return -1
}

// teach blends the teachers' mean answer into the targets of b. A picture
// without a label of a head is taught by the answer alone, and weighs as much
// as the answer does beside a label.
func (t *teachers) teach(b *nn.Batch, heads []head) {
	if len(t.nets) == 0 {
		return
	}
	part := make([][]float32, len(heads)) // of the target, by picture
	for i, h := range heads {
		part[i] = make([]float32, b.N)
		for k, w := range b.Weight[i][:b.N] {
			if part[i][k] = t.share; w == 0 {
				part[i][k], b.Weight[i][k] = 1, t.share
			}
			scale(b.Target[i][k*len(h.Labels):][:len(h.Labels)], 1-part[i][k])
		}
	}
	for _, net := range t.nets {
		logits := net.Predict(b.X, b.N)
		for i, h := range heads {
			t.add(b.Target[i], logits[answer(net, h)], part[i], len(h.Labels))
		}
	}
}

func scale(x []float32, by float32) {
	for i := range x {
		x[i] *= by
	}
}

// add puts one teacher's part of the answers into the targets, rows of n.
func (t *teachers) add(target, logits, part []float32, n int) {
	for i, share := range part {
		p := logits[i*n:][:n]
		Softmax(p)
		for j, v := range p {
			target[i*n+j] += share / float32(len(t.nets)) * v
		}
	}
}
