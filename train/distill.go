package train

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	of    []int   // teachers of each head
	hash  string  // of their files and heads; empty without one
	share float32 // of the target
	width int     // labels of all heads
	rows  []float32
	said  []float32 // by one teacher
}

// teacher is one of them, and what it said so far.
type teacher struct {
	net     *nn.Net
	teaches []bool   // by the student's heads
	heads   []head   // those that it teaches
	width   int      // labels of these
	said    *answers // nil where each pass shows a picture anew
}

// CutTeacher cuts FILE=HEAD,... into the checkpoint and the heads that it
// teaches; nil means all that it has.
func CutTeacher(s string) (path string, heads []string) {
	i := strings.LastIndexByte(s, '=')
	if i < 0 || strings.ContainsRune(s[i:], filepath.Separator) {
		return s, nil
	}
	return s[:i], strings.Split(s[i+1:], ",")
}

// WithHeads undoes CutTeacher.
func WithHeads(path string, heads []string) string {
	if heads == nil {
		return path
	}
	return path + "=" + strings.Join(heads, ",")
}

// newTeachers opens the checkpoints, to teach samples. What they said is kept
// in o.Answers.
func newTeachers(o *Options, heads []head, samples []data.Sample) (*teachers, error) {
	switch {
	case o.Recipe.Distill > 0 && len(o.Teachers) == 0:
		return nil, errors.New("train: the recipe's distill is not 0, so name a --teacher")
	case o.Recipe.Distill == 0 && len(o.Teachers) > 0:
		return nil, errors.New("train: a teacher is named, but the recipe's distill is 0 (--set distill=0.5)")
	}
	t := &teachers{heads: heads, of: make([]int, len(heads)), share: float32(o.Recipe.Distill)}
	if len(o.Teachers) == 0 {
		return t, nil
	}
	for _, h := range heads {
		t.width += len(h.Labels)
	}
	t.rows, t.said = make([]float32, o.Recipe.Batch*t.width), make([]float32, o.Recipe.Batch*t.width)
	sum := sha256.New()
	for _, teacher := range o.Teachers {
		path, names := CutTeacher(teacher)
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("train: teacher: %w", err), t.close())
		}
		sum.Write(b)
		sum.Write([]byte(strings.Join(names, ",")))
		one, err := t.open(o, path, names, sha256.Sum256(b), samples)
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t.all = append(t.all, one)
	}
	t.hash = fmt.Sprintf("%x", sum.Sum(nil)[:16])
	return t, nil
}

// open opens the teacher of the heads of those names, or of all that it shares
// with the student.
func (t *teachers) open(o *Options, path string, names []string, file [32]byte, samples []data.Sample) (*teacher, error) {
	net, err := openIn(o.Recipe.Precision, path, o.Recipe.Batch, o.Threads)
	if err != nil {
		return nil, err
	}
	one := &teacher{net: net, teaches: make([]bool, len(t.heads))}
	for i, h := range t.heads {
		one.teaches[i] = answer(net, h) >= 0 && (names == nil || slices.Contains(names, h.Name))
		if one.teaches[i] {
			one.heads = append(one.heads, h)
			one.width += len(h.Labels)
			t.of[i]++
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(one.heads, func(h head) bool { return h.Name == name }) {
			return nil, fmt.Errorf("train: teacher %s: no head %q with these labels in it and in the recipe", path, name)
		}
	}
	if len(one.heads) == 0 {
		return nil, fmt.Errorf("train: teacher %s has none of the recipe's heads", path)
	}
	if o.Recipe.Views > 0 {
		views := viewsHash(&o.Recipe, one.heads, samples)
		one.said, err = openAnswers(o.Answers, sha256.Sum256(append(file[:], views[:]...)), one.heads)
	}
	return one, err
}

// answers tells whether a head has a teacher.
func (t *teachers) answers(head int) bool { return len(t.all) > 0 && t.of[head] > 0 }

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

// teach blends the mean answer of each head's teachers into the targets of b. A
// picture without a label of a head is taught by the answer alone, and weighs as
// much as the answer does beside a label.
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
		for k := 0; k < b.N && t.of[i] > 0; k++ {
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
// of all heads that have teachers. An answer does not depend on a picture's
// neighbours, so one from the disk is what the teacher would say again.
func (t *teachers) ask(b *batch) error {
	clear(t.rows[:b.N*t.width])
	for _, one := range t.all {
		said := t.said[:b.N*one.width]
		if err := one.hear(b, said); err != nil {
			return err
		}
		at, from := 0, 0
		for i, h := range t.heads {
			n := len(h.Labels)
			for k := 0; k < b.N && one.teaches[i]; k++ {
				for j, v := range said[k*one.width+from:][:n] {
					t.rows[k*t.width+at+j] += v / float32(t.of[i])
				}
			}
			at += n
			if one.teaches[i] {
				from += n
			}
		}
	}
	return nil
}

// hear fills said with the teacher's answers to b, a row of its heads for a
// picture.
func (one *teacher) hear(b *batch, said []float32) error {
	if one.said != nil {
		if known, err := one.said.recall(b.views, said); known || err != nil {
			return err
		}
	}
	logits := one.net.Predict(b.X, b.N)
	at := 0
	for _, h := range one.heads {
		n := len(h.Labels)
		for k := range b.N {
			p := logits[answer(one.net, h)][k*n:][:n]
			Softmax(p)
			copy(said[k*one.width+at:], p)
		}
		at += n
	}
	if one.said == nil {
		return nil
	}
	return one.said.keep(b.views, said)
}
