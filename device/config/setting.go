package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mien/runtime/secret"
)

// Setting is a key as somebody sees it who does not read YAML: what it means,
// and its value as a line of text.
type Setting struct {
	Key
	Doc    string // what the sample says of it
	Kind   string // text, secret, whole, number, span, switch, list or table
	Value  string // as Edit takes it; empty of a secret
	Secret bool   // the value is not to be shown
	Set    bool   // the value is not the default
}

// Settings returns every key with its value in c, in the order of the sample.
// What is secret is left out, and of an address its password.
func (c *Config) Settings() (all []Setting) {
	docs, usual := documents(), Default()
	for _, k := range Keys() {
		v := k.Of(c)
		s := Setting{Key: k, Doc: docs[k.Name], Kind: shape(v.Type()), Value: text(v),
			Set: !reflect.DeepEqual(v.Interface(), k.Of(&usual).Interface())}
		switch x := v.Interface().(type) {
		case secret.Text:
			s.Secret, s.Value = true, ""
		case secret.URL:
			s.Secret, s.Value = x.String() != x.Reveal(), x.String()
		}
		all = append(all, s)
	}
	return all
}

// Fresh reports whether nobody has said yet what this device is to do: but for
// its page and how it is called all is as it comes.
func (c *Config) Fresh() bool {
	usual := Default()
	return !slices.ContainsFunc(Changed(&usual, c), func(k Key) bool {
		return k.Name != "name" && k.Name != "time_zone" && !strings.HasPrefix(k.Name, "status.")
	})
}

// Untouched reports whether nobody has said anything yet but how the device is
// called: it waits for somebody who sets it up.
func (c *Config) Untouched() bool {
	usual := Default()
	return !slices.ContainsFunc(Changed(&usual, c), func(k Key) bool { return k.Name != "name" && k.Name != "time_zone" })
}

// documented is a line of the sample with a key.
var documented = regexp.MustCompile(`^( *)([a-z0-9_]+):(?:.*?\s# (.*)|.*)$`)

// documents returns what the sample says of keys and groups, by name: the
// comment before it and the one beside it.
func documents() map[string]string {
	docs := map[string]string{}
	var groups []string
	var before []string
	for _, line := range strings.Split(string(Sample), "\n") {
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			before = append(before, comment)
			continue
		}
		m := documented.FindStringSubmatch(line)
		if m == nil {
			before = nil
			continue
		}
		groups = append(groups[:len(m[1])/2], m[2])
		name := strings.Join(groups, ".")
		docs[name] = strings.TrimSpace(strings.Join(before, " ") + " " + m[3])
		before = nil
	}
	return docs
}

// GroupDoc is what the sample says of a group of keys.
func GroupDoc(group string) string { return documents()[group] }

// shape is what a type is to somebody who fills in a form.
func shape(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "span"
	case reflect.TypeFor[secret.Text]():
		return "secret"
	case reflect.TypeFor[secret.URL]():
		return "text"
	}
	switch t.Kind() {
	case reflect.Int:
		return "whole"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "switch"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "table"
	}
	return "text"
}

// text writes a value as somebody would type it: a list with commas, a table
// with a line for each entry.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		s := x.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		return s
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case Line:
		if x.Active == "low" {
			return x.Pin + " low"
		}
		return x.Pin
	}
	var parts []string
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			parts = append(parts, text(v.Index(i)))
		}
		return strings.Join(parts, ", ")
	case reflect.Map:
		for _, k := range v.MapKeys() {
			parts = append(parts, k.String()+": "+text(v.MapIndex(k)))
		}
		slices.Sort(parts)
		return strings.Join(parts, "\n")
	}
	return fmt.Sprint(v.Interface())
}

// safe is text that YAML and its readers take as it is without quotes.
var safe = regexp.MustCompile(`^:?[A-Za-z0-9/]([A-Za-z0-9_./:+ -]*[A-Za-z0-9_./+-])?$`)

// scalar writes one value in YAML.
func scalar(t reflect.Type, s string) string {
	if !kindOf(t).text {
		return s
	}
	if s == "" {
		return `""`
	}
	if safe.MatchString(s) && !strings.Contains(s, ": ") && !strings.EqualFold(s, "null") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// bare is a value without quotes that cannot be taken for anything but one.
var bare = regexp.MustCompile(`^[-+.0-9A-Za-z]+$`)

// entries takes the text of a table apart, in its order.
func entries(s string) (names []string, values map[string]string, err error) {
	values = map[string]string{}
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch _, twice := values[name]; {
		case !ok || name == "" || value == "":
			return nil, nil, fmt.Errorf("%q: want name: value, one a line", line)
		case !safe.MatchString(name):
			return nil, nil, fmt.Errorf("%q is no name", name)
		case twice:
			return nil, nil, fmt.Errorf("%s is there twice", name)
		}
		names, values[name] = append(names, name), value
	}
	return names, values, nil
}

// inYAML is the text of a value in YAML.
func inYAML(t reflect.Type, s string) (string, error) {
	switch t.Kind() {
	case reflect.Slice:
		items := []string{}
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			v, err := inYAML(t.Elem(), item)
			if err != nil {
				return "", err
			}
			items = append(items, v)
		}
		return "[" + strings.Join(items, ", ") + "]", nil
	case reflect.Struct:
		if t == reflect.TypeFor[Line]() {
			pin, low := strings.CutSuffix(s, " low")
			if !low {
				pin = strings.TrimSuffix(s, " high")
			}
			out := "{pin: " + scalar(reflect.TypeFor[string](), strings.TrimSpace(pin))
			if low {
				out += ", active: low"
			}
			return out + "}", nil
		}
	}
	if !kindOf(t).text && !bare.MatchString(s) {
		return "", fmt.Errorf("want %s, got %q", kindOf(t).word, s)
	}
	return scalar(t, s), nil
}
