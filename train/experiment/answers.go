package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mien/runtime/atomicfile"
	"mien/train"
	"mien/train/data"
)

// AnswersFile holds what a run's best weights said of the test images.
const AnswersFile = "test.json"

// Answers are a run's answers about test images, by kind of data set and head.
type Answers map[string]map[string]*Said

// Said is what was said of the images of one set that have a label of a head, in
// the set's order.
type Said struct {
	Truth []int8 `json:"truth"`
	Said  []int8 `json:"said"`
	// Loss is the mean cross-entropy, nats; 0 where it was not kept.
	Loss float64 `json:"loss,omitempty"`
}

// Add takes up the answers about one set's images in the heads whose losses have
// taught them.
func (a Answers) Add(s *data.Set, samples []data.Sample, m *train.Metrics, losses train.Losses) {
	heads := map[string]*Said{}
	for i, h := range s.Heads {
		if losses[h.Name] == 0 || m.Heads[h.Name] == nil {
			continue
		}
		said := &Said{Loss: m.Heads[h.Name].Loss}
		for k := range samples {
			if label := samples[k].Labels[i]; label != data.NoLabel {
				said.Truth = append(said.Truth, label)
				said.Said = append(said.Said, m.Said[k][i])
			}
		}
		if len(said.Truth) > 0 {
			heads[h.Name] = said
		}
	}
	a[s.Kind] = heads
}

// right tells of each image whether the answer was right.
func (s *Said) right() []bool {
	r := make([]bool, len(s.Truth))
	for i, t := range s.Truth {
		r[i] = t == s.Said[i]
	}
	return r
}

// Accuracy is the part of the images that was told right.
func (s *Said) Accuracy() Interval { return Accuracy(s.right()) }

// Write puts the answers beside the run that gave them.
func (a Answers) Write(dir string) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	return atomicfile.Write(filepath.Join(dir, AnswersFile), b)
}

// ReadAnswers returns the answers of the run in dir, nil when it has not come to
// that.
func ReadAnswers(dir string) (Answers, error) {
	path := filepath.Join(dir, AnswersFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	var a Answers
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("experiment: %s: %w (delete it, and it is measured again)", path, err)
	}
	for _, heads := range a {
		for _, s := range heads {
			if s == nil || len(s.Truth) != len(s.Said) {
				return nil, fmt.Errorf("experiment: %s is damaged (delete it, and it is measured again)", path)
			}
		}
	}
	return a, nil
}
