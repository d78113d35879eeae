package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// refs returns what v refers to.
func refs(v any) (all []string) {
	switch x := v.(type) {
	case map[string]any:
		for k, v := range x {
			if s, ok := v.(string); ok && k == "$ref" {
				all = append(all, s)
			}
			all = append(all, refs(v)...)
		}
	case []any:
		for _, v := range x {
			all = append(all, refs(v)...)
		}
	}
	return all
}

// Both files are whole by themselves: what they refer to is in them, and the
// description has the schemas as they are.
func TestEachFileIsWhole(t *testing.T) {
	schema, api := read(t, "schema.json"), read(t, "openapi.json")
	if out, err := join(schema, api); err != nil || !bytes.Equal(out, api) {
		t.Errorf("go generate ./device/status would change openapi.json (%v)", err)
	}
	for name, at := range map[string][]string{"schema.json": {"$defs"}, "openapi.json": {"components", "schemas"}} {
		var doc any
		if err := json.Unmarshal(read(t, name), &doc); err != nil {
			t.Fatal(err)
		}
		found := doc
		for _, k := range at {
			found = found.(map[string]any)[k]
		}
		prefix, all := "#/"+strings.Join(at, "/")+"/", refs(doc)
		for _, ref := range all {
			def, ok := strings.CutPrefix(ref, prefix)
			if _, has := found.(map[string]any)[def]; !ok || !has {
				t.Errorf("%s refers to %s, which is not in it", name, ref)
			}
		}
		if len(all) == 0 {
			t.Errorf("%s refers to nothing", name)
		}
	}
}

// Numbers have their unit in their name, or none: counts, places in pixels,
// shares. What a head measures has it in a field beside.
func TestNumbersSayTheirUnit(t *testing.T) {
	var doc struct {
		Defs map[string]struct {
			Properties map[string]struct {
				Type        any
				Description string
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(read(t, "schema.json"), &doc); err != nil {
		t.Fatal(err)
	}
	counts := []string{"seq", "id", "subject", "frames", "captured", "dropped", "restarts", "renewals", "queued", "sent", "lost", "refused", "aside", "messages", "number", "level", "faces"}
	pixels := []string{"width", "height", "x", "y", "w", "h"}
	shares := []string{"confidence", "score"}
	for def, d := range doc.Defs {
		if def == "Latency" || def == "BadPictures" { // whose field is latency_ms; counts all
			continue
		}
		_, unit := d.Properties["unit"]
		for name, p := range d.Properties {
			if unit && (name == "value" || name == "deviation") {
				continue
			}
			if p.Type != "number" && p.Type != "integer" || slices.Contains(slices.Concat(counts, pixels, shares), name) {
				continue
			}
			if name != "fps" && name != "celsius" && !strings.HasSuffix(name, "_ms") && !strings.HasSuffix(name, "days") && !strings.HasSuffix(name, "_seconds") && !strings.HasSuffix(name, "_bytes") && !strings.Contains(p.Description, "how many") {
				t.Errorf("%s.%s is a number without a unit", def, name)
			}
		}
	}
}
