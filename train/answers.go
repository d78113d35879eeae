package train

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"mien/train/data"
)

// answers are what one teacher said of each view of a run's pictures, on the
// disk: a row of probabilities for a view, float32, little endian. Students who
// see the same views share them. A row whose heads do not each sum to 1 was not
// written, or was cut short: the teacher is asked again. The file may be deleted
// at any time between runs.
type answers struct {
	file  *os.File
	heads []head
	width int
	bytes []byte
}

// viewsHash names the views of a run: the pictures, and all that decides how
// they are changed.
func viewsHash(r *Recipe, heads []head, samples []data.Sample) [32]byte {
	h := sha256.New()
	fmt.Fprintln(h, r.Seed, r.Views, r.Augment, r.Mixup, r.Precision)
	for _, x := range heads {
		fmt.Fprintf(h, "%q %q\n", x.Name, x.Labels)
	}
	for i := range samples {
		h.Write(samples[i].Face)
	}
	return [32]byte(h.Sum(nil))
}

// openAnswers opens the file of that key in dir, which is made when it is not
// there.
func openAnswers(dir string, key [32]byte, heads []head) (*answers, error) {
	a := &answers{heads: heads}
	for _, h := range heads {
		a.width += len(h.Labels)
	}
	a.bytes = make([]byte, 4*a.width)
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		a.file, err = os.OpenFile(filepath.Join(dir, fmt.Sprintf("answers-%x.bin", key[:16])), os.O_RDWR|os.O_CREATE, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("train: the teachers' answers: %w", err)
	}
	return a, nil
}

func (a *answers) close() error { return a.file.Close() }

// recall fills rows with what was said of the views, and tells whether all of it
// was there.
func (a *answers) recall(views []int, rows []float32) (bool, error) {
	for k, v := range views {
		switch _, err := a.file.ReadAt(a.bytes, int64(v)*int64(len(a.bytes))); {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("train: the teachers' answers: %w", err)
		}
		row := rows[k*a.width:][:a.width]
		for i := range row {
			row[i] = math.Float32frombits(binary.LittleEndian.Uint32(a.bytes[4*i:]))
		}
		if !a.whole(row) {
			return false, nil
		}
	}
	return true, nil
}

// whole tells whether a row was written to its end.
func (a *answers) whole(row []float32) bool {
	for _, h := range a.heads {
		sum := float32(0)
		for _, v := range row[:len(h.Labels)] {
			sum += v
		}
		if !(sum > 0.999 && sum < 1.001) {
			return false
		}
		row = row[len(h.Labels):]
	}
	return true
}

// keep writes what was said of the views.
func (a *answers) keep(views []int, rows []float32) error {
	for k, v := range views {
		for i, p := range rows[k*a.width:][:a.width] {
			binary.LittleEndian.PutUint32(a.bytes[4*i:], math.Float32bits(p))
		}
		if _, err := a.file.WriteAt(a.bytes, int64(v)*int64(len(a.bytes))); err != nil {
			return fmt.Errorf("train: the teachers' answers: %w", err)
		}
	}
	return nil
}
