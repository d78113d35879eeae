package inspect

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"

	"mien/runtime/graph"
)

// PublishedKey is where a file holds what its publisher says of it.
const PublishedKey = "TFLITE_METADATA"

// Published is what a publisher says of a model and of its tensors, in the
// metadata of TensorFlow Lite's support library.
type Published struct {
	Name    string   `json:"name,omitempty"`
	About   string   `json:"about,omitempty"`
	Author  string   `json:"author,omitempty"`
	License string   `json:"license,omitempty"`
	Inputs  []Stated `json:"inputs,omitempty"`
	Outputs []Stated `json:"outputs,omitempty"`
}

// Stated is what is said of a tensor. A picture's values, 0 to 255, go in as
// (value-Mean)/Std, for each channel or for all.
type Stated struct {
	Name   string    `json:"name,omitempty"`
	About  string    `json:"about,omitempty"`
	Mean   []float32 `json:"mean,omitempty"`
	Std    []float32 `json:"std,omitempty"`
	Labels []string  `json:"labels,omitempty"`
}

// The fields that are read, by their numbers in tensorflow_lite_support's
// metadata_schema.fbs.
const (
	modelName, modelAbout, modelGraphs, modelAuthor, modelLicense = 0, 1, 3, 4, 5
	graphInputs, graphOutputs                                     = 2, 3
	tensorName, tensorAbout, tensorUnits, tensorFiles             = 0, 1, 4, 6
	unitKind, unitOptions                                         = 0, 1
	normaliseMean, normaliseStd                                   = 0, 1
	fileName, fileKind                                            = 0, 2

	normalises  = 1 // of ProcessUnitOptions
	axisLabels  = 2 // of AssociatedFileType: a label for each value
	valueLabels = 5 // a label for each number that is answered
)

// mostLabels bounds a file of labels, in bytes.
const mostLabels = 1 << 20

// published reads the metadata; file holds the labels, in a ZIP archive behind
// the model.
func published(meta, file []byte) (p *Published, err error) {
	// As in flatfile: accessors follow offsets without looking, and one that
	// points outside ends here.
	defer func() {
		if recover() != nil {
			p, err = nil, errors.New(PublishedKey+" is damaged")
		}
	}()
	if len(meta) < 8 || !bytes.HasPrefix(meta[4:], []byte("M00")) {
		return nil, errors.New(PublishedKey + " is of a kind that is not known here (no M001 at byte 4)")
	}
	archive, _ := zip.NewReader(bytes.NewReader(file), int64(len(file))) // nil where there is none
	m := record{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
	p = &Published{Name: m.text(modelName), About: m.text(modelAbout), Author: m.text(modelAuthor), License: m.text(modelLicense)}
	for _, g := range m.list(modelGraphs, 1) {
		for _, t := range g.list(graphInputs, most) {
			p.Inputs = append(p.Inputs, stated(t, archive))
		}
		for _, t := range g.list(graphOutputs, most) {
			p.Outputs = append(p.Outputs, stated(t, archive))
		}
	}
	return p, nil
}

func stated(t record, archive *zip.Reader) Stated {
	s := Stated{Name: t.text(tensorName), About: t.text(tensorAbout)}
	for _, u := range t.list(tensorUnits, most) {
		if u.number(unitKind) == normalises {
			n := u.child(unitOptions)
			s.Mean, s.Std = n.floats(normaliseMean), n.floats(normaliseStd)
		}
	}
	for _, f := range t.list(tensorFiles, most) {
		if kind := f.number(fileKind); (kind == axisLabels || kind == valueLabels) && s.Labels == nil {
			s.Labels = labels(archive, f.text(fileName))
		}
	}
	return s
}

// labels are the lines of a file in the archive; nil when it cannot be read.
func labels(archive *zip.Reader, name string) []string {
	if archive == nil {
		return nil
	}
	f, err := archive.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, mostLabels))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
}

// most bounds lists, of which a damaged file may have long ones.
const most = 1 << 10

// record is a table of the metadata.
type record struct{ t flatbuffers.Table }

// at is the place of a field, 0 when the record has none.
func (r record) at(field int) flatbuffers.UOffsetT {
	if r.t.Bytes == nil {
		return 0
	}
	o := flatbuffers.UOffsetT(r.t.Offset(flatbuffers.VOffsetT(4 + 2*field)))
	if o == 0 {
		return 0
	}
	return o + r.t.Pos
}

func (r record) text(field int) string {
	if o := r.at(field); o != 0 {
		return string(r.t.ByteVector(o))
	}
	return ""
}

func (r record) number(field int) byte {
	if o := r.at(field); o != 0 {
		return r.t.GetByte(o)
	}
	return 0
}

func (r record) child(field int) record {
	if o := r.at(field); o != 0 {
		return record{flatbuffers.Table{Bytes: r.t.Bytes, Pos: r.t.Indirect(o)}}
	}
	return record{}
}

// vector is where a field's vector begins, and how many of its values are read.
func (r record) vector(field, most int) (start flatbuffers.UOffsetT, n int) {
	o := r.at(field)
	if o == 0 {
		return 0, 0
	}
	o -= r.t.Pos
	return r.t.Vector(o), min(r.t.VectorLen(o), most)
}

// list returns the first of a field's records, most of them.
func (r record) list(field, most int) []record {
	var all []record
	start, n := r.vector(field, most)
	for i := range n {
		all = append(all, record{flatbuffers.Table{Bytes: r.t.Bytes, Pos: r.t.Indirect(start + flatbuffers.UOffsetT(4*i))}})
	}
	return all
}

func (r record) floats(field int) []float32 {
	var all []float32
	start, n := r.vector(field, most)
	for i := range n {
		all = append(all, r.t.GetFloat32(start+flatbuffers.UOffsetT(4*i)))
	}
	return all
}

// text writes what a reader wants to know.
func (p *Published) text(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nits publisher says: %s\n", p.Name)
	for _, l := range [][2]string{{"about", p.About}, {"author", p.Author}, {"licence", p.License}} {
		if l[1] != "" {
			fmt.Fprintf(b, "  %s: %s\n", l[0], firstLine(l[1]))
		}
	}
	for _, side := range []struct {
		name string
		all  []Stated
	}{{"input", p.Inputs}, {"output", p.Outputs}} {
		for _, s := range side.all {
			fmt.Fprintf(b, "  %s %s: %s\n", side.name, s.Name, firstLine(s.About))
			if len(s.Mean) > 0 || len(s.Std) > 0 {
				fmt.Fprintf(b, "    normalised: mean %v, std %v%s\n", s.Mean, s.Std, s.flag())
			}
			if n := len(s.Labels); n > 0 {
				fmt.Fprintf(b, "    %d labels: %s\n", n, graph.Short(strings.Join(s.Labels, ", "), 100))
			}
		}
	}
}

// flag is what normalises so when a model is quantised, where one mean and one
// std serve all channels.
func (s Stated) flag() string {
	if len(s.Mean) != 1 || len(s.Std) != 1 {
		return ""
	}
	return fmt.Sprintf(" (mien quantize --normalise %g,%g)", s.Mean[0], s.Std[0])
}
