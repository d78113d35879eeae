package wire

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type definition struct {
	Type       any                        `json:"type"`
	Required   []string                   `json:"required"`
	Properties map[string]json.RawMessage `json:"properties"`
	Additional *bool                      `json:"additionalProperties"`
}

// Every type has a definition with just its fields, all of them required and
// of the type that Go writes; and there is no definition without a type.
func TestSchemaIsTheTypes(t *testing.T) {
	var schema struct {
		Defs map[string]definition `json:"$defs"`
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{Reading{}, Face{}, Head{}, Track{}, Transition{}, Line{}, Stage{}, Status{},
		Outbox{}, Info{}, HeadInfo{}, Pin{}} {
		typ := reflect.TypeOf(v)
		def, ok := schema.Defs[typ.Name()]
		delete(schema.Defs, typ.Name())
		if !ok || def.Additional == nil || *def.Additional {
			t.Errorf("%s: no closed definition", typ.Name())
			continue
		}
		var fields, described []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("json")
			fields = append(fields, name)
			if got, want := string(def.Properties[name]), jsonType(f.Type); !strings.Contains(got, want) {
				t.Errorf("%s.%s is a %v; the schema says %s", typ.Name(), name, f.Type, got)
			}
		}
		for name := range def.Properties {
			described = append(described, name)
		}
		slices.Sort(fields)
		slices.Sort(described)
		slices.Sort(def.Required)
		if d := cmp.Diff(fields, described); d != "" {
			t.Errorf("%s: %s", typ.Name(), d)
		}
		if d := cmp.Diff(fields, def.Required); d != "" {
			t.Errorf("%s: required: %s", typ.Name(), d)
		}
	}
	for name := range schema.Defs {
		t.Errorf("definition %s has no type", name)
	}
}

// jsonType is what the schema's text of a field of type t has to contain.
func jsonType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return `null`
	}
	switch {
	case t.Name() == "Time":
		return `date-time`
	case t.Kind() == reflect.Struct:
		return `#/$defs/` + t.Name()
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return `{"type": "array", "items": {"$ref": "#/$defs/` + t.Elem().Name() + `"`
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return `"additionalProperties": {"$ref": "#/$defs/` + t.Elem().Name() + `"`
	}
	return `"type": "` + map[reflect.Kind]string{reflect.Bool: "boolean", reflect.String: "string",
		reflect.Int: "integer", reflect.Uint64: "integer", reflect.Float32: "number", reflect.Float64: "number",
		reflect.Slice: "array", reflect.Array: "array", reflect.Map: "object"}[t.Kind()] + `"`
}
