package flatfile

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"

	"mien/runtime/graph"
)

// layouts holds, for each member of the schema's BuiltinOptions union from 1
// on, its fields in the order of their ids: b 1 byte, i 4 bytes, l 8 bytes,
// v a vector of 4-byte elements, s a string, "-" none. With it, the options of
// operators that mien does not know are kept field by field.
// Source: tensorflow/lite/schema/schema.fbs.
var layouts = strings.Fields(`
	biibiib biiibii ivv b biiiib ibb bb bbbbb i ib bb b iiii biibb iibb i v iib i b
	b - ii - - - b bb b v bbb iiiiib - - i - bb - - b
	- - - - - - - - biibb b - - - - b - b iiib
	ii - i - - ii - - - - biibbb bbbb biibbb - - bb i - b -
	i b - - - - - - ii - - - - ii ii i - - - - - -
	bbb bb i - - biiibiii ibb - - - ss - - ll v b - - - -
	- - - - - -`)

func layout(union uint8) (fields string, ok bool) {
	if union == 0 || int(union) > len(layouts) {
		return "", false
	}
	return strings.Trim(layouts[union-1], "-"), true
}

// decode reads the fields of an operator's options, as raw has them, into the
// struct that the operator has; it is nil for one that has none. What is set
// and has no place in the struct is unkept.
func (r *reader) decode(raw [][]byte, op *graph.Op, like graph.Options) (graph.Options, error) {
	kept := make([]bool, len(raw))
	var out graph.Options
	if like != nil {
		v := reflect.New(reflect.TypeOf(like)).Elem()
		for i := range v.NumField() {
			f := fieldOf(v, i)
			var stored []byte
			if f.id < len(raw) {
				kept[f.id], stored = true, raw[f.id]
			}
			if err := r.set(f, stored); err != nil {
				return nil, err
			}
		}
		out = v.Interface().(graph.Options)
	}
	for i, b := range raw {
		if !kept[i] && bytes.ContainsFunc(b, func(c rune) bool { return c != 0 }) {
			r.unkept("option %d of operator %s", i, op.Name())
		}
	}
	return out, nil
}

// field is a field of an options struct: its place in the schema, and its
// default there.
type field struct {
	reflect.Value
	id       int
	standard int
	not      bool
}

func fieldOf(v reflect.Value, i int) field {
	tag := v.Type().Field(i).Tag
	id, _ := strconv.Atoi(tag.Get("field")) // a test reads every tag
	f := field{Value: v.Field(i), id: id}
	if d := tag.Get("default"); d == "not" {
		f.not = true
	} else if d != "" {
		f.standard, _ = strconv.Atoi(d)
	}
	return f
}

// set gives a field the stored value, or its default when there is none.
func (r *reader) set(f field, b []byte) error {
	switch f.Kind() {
	case reflect.Slice:
		if len(b) < 4 {
			return nil
		}
		if err := r.take(len(b)/4, 8); err != nil {
			return err
		}
		v := make([]int, len(b)/4)
		for i := range v {
			v[i] = int(flatbuffers.GetInt32(b[4*i:]))
		}
		f.Set(reflect.ValueOf(v))
	case reflect.Bool:
		f.SetBool((b != nil && b[0] != 0) != (f.not && b != nil))
	case reflect.Float32:
		if b != nil {
			f.SetFloat(float64(flatbuffers.GetFloat32(b)))
		}
	case reflect.Int8:
		if b != nil {
			f.SetInt(int64(int8(b[0])))
		}
	case reflect.Int:
		f.SetInt(int64(f.standard))
		if b != nil {
			f.SetInt(int64(flatbuffers.GetInt32(b)))
		}
	default:
		return fmt.Errorf("options with a field of %v", f.Kind())
	}
	return nil
}

// encode stores the options of an operator that mien knows.
func (w *writer) encode(o graph.Options, layout string) (flatbuffers.UOffsetT, error) {
	v := reflect.ValueOf(o)
	vectors := make([]flatbuffers.UOffsetT, v.NumField())
	for i := range vectors {
		if f := v.Field(i); f.Kind() == reflect.Slice {
			var err error
			if vectors[i], err = w.ints(f.Interface().([]int)); err != nil {
				return 0, err
			}
		}
	}
	w.b.StartObject(len(layout))
	for i := range vectors {
		f := fieldOf(v, i)
		if f.id >= len(layout) {
			continue
		}
		switch f.Kind() {
		case reflect.Slice:
			w.b.PrependUOffsetTSlot(f.id, vectors[i], 0)
		case reflect.Bool:
			w.b.PrependBoolSlot(f.id, f.Bool() != f.not, f.not)
		case reflect.Float32:
			w.b.PrependFloat32Slot(f.id, float32(f.Float()), 0)
		case reflect.Int8:
			w.b.PrependInt8Slot(f.id, int8(f.Int()), 0)
		case reflect.Int:
			n := int(f.Int())
			if n == 0 {
				n = f.standard
			}
			if int(int32(n)) != n {
				return 0, fmt.Errorf("an option is %d, which does not fit 32 bits", n)
			}
			w.b.PrependInt32Slot(f.id, int32(n), int32(f.standard))
		default:
			return 0, fmt.Errorf("options with a field of %v", f.Kind())
		}
	}
	return w.b.EndObject(), nil
}
