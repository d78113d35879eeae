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
// batch just as the student does, and reckon in the recipe's precision.
type teachers struct {
	nets  []*nn.Net
	heads []head
	hash  string  // of their files; empty without one
	share float32 // of the target
	width int     // labels of all heads
	rows  []float32
	// What they said of each view, where the recipe has a finite number of
	// them. Their answers do not depend on a picture's neighbours, so it is the
	// same after a resume.
	said  []float32
	known []bool
}

// newTeachers opens the checkpoints, to teach a number of samples. Each has to
// answer every head of the student.
func newTeachers(o *Options, heads []head, samples int) (*teachers, error) {
	switch {
	case o.Recipe.Distill > 0 && len(o.Teachers) == 0:
		return nil, errors.New("train: the recipe's distill is not 0, so name a --teacher")
	case o.Recipe.Distill == 0 && len(o.Teachers) > 0:
		return nil, errors.New("train: a teacher is named, but the recipe's distill is 0 (--set distill=0.5)")
	}
	t := &teachers{heads: heads, share: float32(o.Recipe.Distill)}
	sum := sha256.New()
	for _, path := range o.Teachers {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("train: teacher: %w", err)
		}
		sum.Write(b)
		net, err := openIn(o.Recipe.Precision, path, o.Recipe.Batch, o.Threads)
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
	if len(t.nets) == 0 {
		return t, nil
	}
	t.hash = fmt.Sprintf("%x", sum.Sum(nil)[:16])
	for _, h := range heads {
		t.width += len(h.Labels)
	}
	t.rows = make([]float32, o.Recipe.Batch*t.width)
	t.known = make([]bool, o.Recipe.Views*samples)
	t.said = make([]float32, len(t.known)*t.width)
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
func (t *teachers) teach(b *batch) {
	if len(t.nets) == 0 {
		return
	}
	t.ask(b)
	at := 0
	for i, h := range t.heads {
		n := len(h.Labels)
		for k := range b.N {
			share := t.share
			if b.Weight[i][k] == 0 {
				share, b.Weight[i][k] = 1, t.share
			}
			target, answer := b.Target[i][k*n:][:n], t.rows[k*t.width+at:][:n]
			for j := range target {
				target[j] = (1-share)*target[j] + share*answer[j]
			}
		}
		at += n
	}
}

// ask fills rows with the mean answer to each picture of b: the probabilities
// of all heads.
func (t *teachers) ask(b *batch) {
	if t.recall(b) {
		return
	}
	clear(t.rows)
	for _, net := range t.nets {
		logits := net.Predict(b.X, b.N)
		at := 0
		for _, h := range t.heads {
			n := len(h.Labels)
			for k := range b.N {
				p := logits[answer(net, h)][k*n:][:n]
				Softmax(p)
				for j, v := range p {
					t.rows[k*t.width+at+j] += v / float32(len(t.nets))
				}
			}
			at += n
		}
	}
	for k, v := range b.views {
		t.known[v] = true
		copy(t.said[v*t.width:], t.rows[k*t.width:][:t.width])
	}
}

// recall fills rows from what was said before, when all of it was.
func (t *teachers) recall(b *batch) bool {
	for k, v := range b.views {
		if !t.known[v] {
			return false
		}
		copy(t.rows[k*t.width:][:t.width], t.said[v*t.width:])
	}
	return len(b.views) > 0
}
