package arch

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"mien/runtime/model"
)

//go:embed nets/*.yaml
var nets embed.FS

// Names returns the names of the networks that mien carries.
func Names() []string {
	files, err := fs.Glob(nets, "nets/*.yaml")
	if err != nil {
		return nil // the pattern is right
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".yaml")
	}
	return files
}

// ByName returns the network of that name, or the one in a file whose name ends
// in .yaml, with those heads.
func ByName(name string, heads []model.Head) (Net, error) {
	b, err := netFile(name)
	if err != nil {
		return Net{}, err
	}
	n := Net{Name: strings.TrimSuffix(filepath.Base(name), ".yaml"), Heads: heads}
	if n.Body, err = parse(b); err != nil {
		return Net{}, fmt.Errorf("arch: network %s: %w", name, err)
	}
	return n, n.Check()
}

// Check refuses a network that could not be built.
func (n Net) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("arch: network %s: %s", n.Name, fmt.Sprintf(format, args...))
	}
	if len(n.Body) == 0 {
		return fail("its body has no layers")
	}
	if err := n.Filter.Check(); err != nil {
		return fail("%v", err)
	}
	taken := map[string]bool{"input": true}
	for i, l := range n.Body {
		if err := l.check(); err != nil {
			return fail("%v", err)
		}
		switch {
		case l.Name == "" || taken[l.Name]:
			return fail("layer %d (%s): the name %q is empty or taken", i+1, l.Op, l.Name)
		case l.Input != "" && !taken[l.Input]:
			return fail("layer %s reads %q, which is not before it", l.Name, l.Input)
		case l.With != "" && !taken[l.With]:
			return fail("layer %s adds %q, which is not before it", l.Name, l.With)
		}
		taken[l.Name] = true
	}
	_, err := n.Cost()
	return err
}

// Carried tells whether mien carries the network of that name.
func Carried(name string) bool { return slices.Contains(Names(), name) }

func netFile(name string) ([]byte, error) {
	if !strings.HasSuffix(name, ".yaml") {
		b, err := nets.ReadFile("nets/" + name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("arch: no network %q (there are %s; a file's name ends in .yaml)", name, strings.Join(Names(), ", "))
		}
		return b, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("arch: network: %w", err)
	}
	if Carried(strings.TrimSuffix(filepath.Base(name), ".yaml")) {
		return nil, fmt.Errorf("arch: network %s: mien carries one of that name: call the file otherwise", name)
	}
	return b, nil
}

// step is a line of a network's file: a layer, or a block by name and what to
// put for each <word> in it.
type step map[string]any

// deepest is how far blocks may lie in blocks, and most the number of layers.
const deepest, most = 8, 10_000

func parse(b []byte) ([]Layer, error) {
	var file struct {
		Blocks map[string][]step `yaml:"blocks"`
		Body   []step            `yaml:"body"`
	}
	if err := yaml.UnmarshalWithOptions(b, &file, yaml.Strict()); err != nil {
		return nil, errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	var body []Layer
	err := expand(file.Blocks, file.Body, nil, 0, func(s step) error {
		l, err := layerOf(s)
		if body = append(body, l); len(body) > most {
			err = fmt.Errorf("it has more than %d layers", most)
		}
		return err
	})
	return body, err
}

// expand calls add for each layer, with what words stand for put in.
func expand(blocks map[string][]step, steps []step, words step, depth int, add func(step) error) error {
	for _, s := range steps {
		s, err := s.put(words)
		if err != nil {
			return err
		}
		name, is := s["block"].(string)
		if !is {
			if err := add(s); err != nil {
				return err
			}
			continue
		}
		if blocks[name] == nil {
			return fmt.Errorf("there is no block %q (there are %s)", name, strings.Join(slices.Sorted(maps.Keys(blocks)), ", "))
		}
		if depth == deepest {
			return fmt.Errorf("block %s lies in more than %d others", name, deepest)
		}
		if err := expand(blocks, blocks[name], s, depth+1, add); err != nil {
			return err
		}
	}
	return nil
}

var word = regexp.MustCompile(`<([a-z]+)>`)

// put returns s with words in: a text that is <word> alone becomes the word's
// value, and within a text its writing.
func (s step) put(words step) (step, error) {
	out := step{}
	for key, v := range s {
		text, is := v.(string)
		if !is {
			out[key] = v
			continue
		}
		for _, m := range word.FindAllStringSubmatch(text, -1) {
			value, ok := words[m[1]]
			if !ok {
				return nil, fmt.Errorf("nothing is said for %s in %s: %s", m[0], key, v)
			}
			if text == m[0] {
				v = value
				break
			}
			text = strings.ReplaceAll(text, m[0], fmt.Sprint(value))
			v = text
		}
		out[key] = v
	}
	return out, nil
}

// layerOf reads a line that is a layer.
func layerOf(s step) (Layer, error) {
	b, err := yaml.Marshal(s)
	if err != nil {
		return Layer{}, err
	}
	x := struct {
		Layer `yaml:",inline"`
		Bias  bool `yaml:"bias"`
	}{Bias: true}
	if err := yaml.UnmarshalWithOptions(b, &x, yaml.Strict()); err != nil {
		return Layer{}, fmt.Errorf("layer %v: %s", s["name"], strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	x.NoBias = !x.Bias
	return x.Layer, nil
}
