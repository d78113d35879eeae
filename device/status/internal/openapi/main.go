// Openapi writes the schemas of schema.json into openapi.json, so that each is
// whole by itself.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run("schema.json", "openapi.json"); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run(schema, api string) error {
	s, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	a, err := os.ReadFile(api)
	if err != nil {
		return err
	}
	out, err := join(s, a)
	if err != nil {
		return err
	}
	return os.WriteFile(api, out, 0o644)
}

// join returns api with the definitions of schema in the place of its own.
func join(schema, api []byte) ([]byte, error) {
	var doc struct {
		Defs json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(schema, &doc); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	var defs bytes.Buffer
	if err := json.Indent(&defs, doc.Defs, "  ", " "); err != nil {
		return nil, err
	}
	text := strings.ReplaceAll(defs.String(), "#/$defs/", "#/components/schemas/")
	const key = "\n  \"schemas\": "
	i := bytes.Index(api, []byte(key))
	if i < 0 {
		return nil, errors.New("the description has no components.schemas")
	}
	i += len(key)
	d := json.NewDecoder(bytes.NewReader(api[i:]))
	var old json.RawMessage
	if err := d.Decode(&old); err != nil {
		return nil, fmt.Errorf("description: %w", err)
	}
	out := append([]byte{}, api[:i]...)
	out = append(out, text...)
	return append(out, api[i+int(d.InputOffset()):]...), nil
}
