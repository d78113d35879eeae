package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"mien/runtime/atomicfile"
)

// Write puts f at path, whole or not at all (see atomicfile.Replace).
func Write(path string, f *File) error {
	err := atomicfile.Replace(path, func(w io.Writer) error { return encode(w, f) })
	if err != nil {
		return fmt.Errorf("checkpoint: write %s: %w", path, err)
	}
	return nil
}

func encode(w io.Writer, f *File) error {
	head, err := header(f)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(head))); err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for i := range f.Tensors {
		if _, err := w.Write(f.Tensors[i].encode()); err != nil {
			return err
		}
	}
	return nil
}

// header is the JSON header, padded with blanks to a multiple of 8 bytes so
// that the data is aligned. Its keys are in order: equal files have equal
// bytes.
func header(f *File) ([]byte, error) {
	entries := make(map[string]any, len(f.Tensors)+1)
	if len(f.Meta) > 0 {
		entries[metaKey] = f.Meta
	}
	var at int64
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if err := t.check(); err != nil {
			return nil, err
		}
		if _, twice := entries[t.Name]; twice {
			return nil, fmt.Errorf("two tensors called %s", t.Name)
		}
		shape := make([]int64, len(t.Shape))
		for k, d := range t.Shape {
			shape[k] = int64(d)
		}
		end := at + int64(t.bytes())
		entries[t.Name] = entry{t.dtype(), shape, [2]int64{at, end}}
		at = end
	}
	b, err := json.Marshal(entries)
	if err != nil {
		return nil, err
	}
	return append(b, bytes.Repeat([]byte{' '}, -len(b)&7)...), nil
}

func (t *Tensor) encode() []byte {
	b := make([]byte, 0, t.bytes())
	for _, v := range t.Data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	for _, v := range t.U64 {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	for _, v := range t.I64 {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}
