package status

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mien/device"
	"mien/device/history"
	"mien/device/signal"
)

// node is the part of JSON Schema that schema.json uses; parsing refuses the
// rest, so that no rule is overlooked.
type node struct {
	Ref         string          `json:"$ref"`
	Type        types           `json:"type"`
	Description string          `json:"description"`
	Format      string          `json:"format"`
	Enum        []string        `json:"enum"`
	Minimum     *float64        `json:"minimum"`
	Maximum     *float64        `json:"maximum"`
	Items       *node           `json:"items"`
	MinItems    int             `json:"minItems"`
	MaxItems    *int            `json:"maxItems"`
	Required    []string        `json:"required"`
	Properties  map[string]node `json:"properties"`
	Additional  json.RawMessage `json:"additionalProperties"`
	AnyOf       []node          `json:"anyOf"`
}

type types []string

func (t *types) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(t))
	}
	*t = []string{""}
	return json.Unmarshal(b, &(*t)[0])
}

func definitions(t testing.TB) map[string]node {
	t.Helper()
	var doc struct {
		Schema string          `json:"$schema"`
		Title  string          `json:"title"`
		Defs   map[string]node `json:"$defs"`
	}
	d := json.NewDecoder(strings.NewReader(string(Schema)))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("schema.json: %v", err)
	}
	return doc.Defs
}

// validate returns what is wrong with v, which encoding/json made, by n.
func validate(defs map[string]node, n node, v any, at string) error {
	if n.Ref != "" {
		name := n.Ref[strings.LastIndex(n.Ref, "/")+1:]
		def, ok := defs[name]
		if !ok {
			return fmt.Errorf("%s: no definition %s", at, name)
		}
		return validate(defs, def, v, at)
	}
	if len(n.AnyOf) > 0 {
		var err error
		for _, o := range n.AnyOf {
			if err = validate(defs, o, v, at); err == nil {
				return nil
			}
		}
		return err
	}
	kind := kindOf(v)
	if !slices.Contains(n.Type, kind) && !(kind == "integer" && slices.Contains(n.Type, "number")) {
		return fmt.Errorf("%s: %s, want %v", at, kind, n.Type)
	}
	switch x := v.(type) {
	case float64:
		if n.Minimum != nil && x < *n.Minimum || n.Maximum != nil && x > *n.Maximum {
			return fmt.Errorf("%s: %v is out of range", at, x)
		}
	case string:
		if n.Enum != nil && !slices.Contains(n.Enum, x) {
			return fmt.Errorf("%s: %q is none of %q", at, x, n.Enum)
		}
		if n.Format == "date-time" {
			if _, err := time.Parse(time.RFC3339Nano, x); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
		}
	case []any:
		if len(x) < n.MinItems || n.MaxItems != nil && len(x) > *n.MaxItems {
			return fmt.Errorf("%s: %d items", at, len(x))
		}
		for i := range x {
			if err := validate(defs, *n.Items, x[i], fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, k := range n.Required {
			if _, ok := x[k]; !ok {
				return fmt.Errorf("%s: %s is missing", at, k)
			}
		}
		for k := range x {
			p, ok := n.Properties[k]
			if !ok {
				if string(n.Additional) == "false" || n.Additional == nil {
					return fmt.Errorf("%s: unknown %s", at, k)
				}
				if err := json.Unmarshal(n.Additional, &p); err != nil {
					return fmt.Errorf("%s: additionalProperties: %w", at, err)
				}
			}
			if err := validate(defs, p, x[k], at+"."+k); err != nil {
				return err
			}
		}
	}
	return nil
}

func kindOf(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case float64:
		if x == math.Trunc(x) {
			return "integer"
		}
	}
	return "number"
}

// valid fails the test when body is no JSON of the definition.
func valid(t testing.TB, name string, body []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Errorf("%s: %v: %.200s", name, err, body)
		return
	}
	if err := validate(definitions(t), node{Ref: name}, v, name); err != nil {
		t.Errorf("%v in %.300s", err, body)
	}
}

// Every field of every type is in the schema, and the schema knows no other.
// The validator alone would not notice a field that the tests never set.
func TestSchemaIsTheTypes(t *testing.T) {
	defs := definitions(t)
	for name, v := range map[string]any{"Reading": device.Reading{}, "Face": device.FaceReading{}, "Box": device.Box{},
		"Answer": device.HeadReading{}, "Track": device.Track{}, "Transition": signal.Transition{}, "Line": Line{},
		"Health": device.Health{}, "PartHealth": device.PartHealth{}, "Status": Status{}, "Outbox": Outbox{}, "Info": Info{}, "Head": Head{}, "Pin": Pin{},
		"Configuration": Configuration{}, "Setting": Setting{}, "Verdict": Verdict{}, "Problem": Problem{}, "Claimed": Claimed{}, "History": History{}, "Hour": history.Hour{}} {
		var fields, required, described []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			tag, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous {
				continue
			}
			fields = append(fields, tag)
			if opts == "" {
				required = append(required, tag)
			}
		}
		for k := range defs[name].Properties {
			described = append(described, k)
		}
		want := slices.Clone(defs[name].Required)
		for _, s := range [][]string{fields, required, described, want} {
			slices.Sort(s)
		}
		if d := cmp.Diff(fields, described); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := cmp.Diff(required, want); d != "" {
			t.Errorf("%s: required: %s", name, d)
		}
		if string(defs[name].Additional) != "false" {
			t.Errorf("%s: lets unknown fields pass", name)
		}
	}
}

func TestNothingIsNull(t *testing.T) {
	for name, v := range map[string]any{"Reading": &device.Reading{Faces: []device.FaceReading{{}}}, "Track": &device.Track{Kind: device.End},
		"Status": &Status{Lines: []Line{{}}, Outbox: &Outbox{}, Fleet: &Outbox{}}, "Info": &Info{Heads: []Head{{}}}, "Transition": &signal.Transition{}} {
		b, err := encode(v)
		if err != nil || strings.Contains(string(b), "null") {
			t.Errorf("%s: %s, %v", name, b, err)
		}
		valid(t, name, b)
	}
}
