package train

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"mien/runtime/model"
	"mien/train/data"
	"mien/train/nn"
)

// teachers are trained networks whose answers a run learns beside the labels
// (Hinton et al. 2015, arXiv 1503.02531, at temperature 1). They see each
// batch just as the student does, and reckon in the recipe's precision.
type teachers struct {
	all   []*teacher
	heads []head
	hash  string  // of their files; empty without one
	share float32 // of the target
	width int     // labels of all heads
	rows  []float32
	said  []float32 // by one teacher
}

// teacher is one of them, and what it said so far.
type teacher struct {
	net  *nn.Net
	said *answers // nil where each pass shows a picture anew
}

// newTeachers opens the checkpoints, to teach samples. Each has to answer every
// head of the student. What they said is kept in o.Answers.
func newTeachers(o *Options, heads []head, samples []data.Sample) (*teachers, error) {
	switch {
	case o.Recipe.Distill > 0 && len(o.Teachers) == 0:
		return nil, errors.New("train: the recipe's distill is not 0, so name a --teacher")
	case o.Recipe.Distill == 0 && len(o.Teachers) > 0:
		return nil, errors.New("train: a teacher is named, but the recipe's distill is 0 (--set distill=0.5)")
	}
	t := &teachers{heads: heads, share: float32(o.Recipe.Distill)}
	if len(o.Teachers) == 0 {
		return t, nil
	}
	for _, h := range heads {
		t.width += len(h.Labels)
	}
	t.rows, t.said = make([]float32, o.Recipe.Batch*t.width), make([]float32, o.Recipe.Batch*t.width)
	views := viewsHash(&o.Recipe, heads, samples)
	sum := sha256.New()
	for _, path := range o.Teachers {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("train: teacher: %w", err), t.close())
		}
		sum.Write(b)
		one, err := t.open(o, path, sha256.Sum256(b), views, len(samples))
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t.all = append(t.all, one)
	}
	t.hash = fmt.Sprintf("%x", sum.Sum(nil)[:16])
	return t, nil
}

func (t *teachers) open(o *Options, path string, file, views [32]byte, samples int) (*teacher, error) {
	net, err := openIn(o.Recipe.Precision, path, o.Recipe.Batch, o.Threads)
	if err != nil {
		return nil, err
	}
	for _, h := range t.heads {
		if answer(net, h) < 0 {
			return nil, fmt.Errorf("train: teacher %s has no head %s", path, h.Name)
		}
	}
	one := &teacher{net: net}
	if o.Recipe.Views > 0 {
		one.said, err = openAnswers(o.Answers, sha256.Sum256(append(file[:], views[:]...)), t.heads, o.Recipe.Views*samples)
	}
	return one, err
}

// close ends the work with what the teachers said.
func (t *teachers) close() error {
	var errs []error
	for _, one := range t.all {
		if one.said != nil {
			errs = append(errs, one.said.close())
		}
	}
	return errors.Join(errs...)
}

// answer is the place of a head among a teacher's, or -1.
func answer(net *nn.Net, h head) int {
	return model.IndexEqual(net.Arch.Heads, h.Head)
}

// teach blends the teachers' mean answer into the targets of b. A picture
// without a label of a head is taught by the answer alone, and weighs as much
// as the answer does beside a label.
func (t *teachers) teach(b *batch) error {
	if len(t.all) == 0 {
		return nil
	}
	if err := t.ask(b); err != nil {
		return err
	}
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
	return nil
}

// ask fills rows with the mean answer to each picture of b: the probabilities
// of all heads. An answer does not depend on a picture's neighbours, so one from
// the disk is what the teacher would say again.
func (t *teachers) ask(b *batch) error {
	rows := t.rows[:b.N*t.width]
	clear(rows)
	for _, one := range t.all {
		said := t.said[:len(rows)]
		if err := t.hear(one, b, said); err != nil {
			return err
		}
		for i, v := range said {
			rows[i] += v / float32(len(t.all))
		}
	}
	return nil
}

// hear fills said with a teacher's answers to b.
func (t *teachers) hear(one *teacher, b *batch, said []float32) error {
	if one.said != nil {
		if known, err := one.said.recall(b.views, said); known || err != nil {
			return err
		}
	}
	logits := one.net.Predict(b.X, b.N)
	at := 0
	for _, h := range t.heads {
		n := len(h.Labels)
		for k := range b.N {
			p := logits[answer(one.net, h)][k*n:][:n]
			Softmax(p)
			copy(said[k*t.width+at:], p)
		}
		at += n
	}
	if one.said == nil {
		return nil
	}
	return one.said.keep(b.views, said)
}
