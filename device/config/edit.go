package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// ErrByHand says that a file is written in a way that Edit leaves alone.
var ErrByHand = errors.New("this file is written in a way that only an editor can change")

// KeyError is what is wrong with the value of a key.
type KeyError struct {
	Key     string
	Message string
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Message }

// Edit returns a file of configuration in which the keys of changes have other
// values, given as Setting.Value is. All else stays as it is, comments and
// layout included. Whether the values make sense ParseFile says; Edit makes
// sure that nothing else has changed by them.
func Edit(name string, data []byte, changes map[string]string) ([]byte, error) {
	was, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	e := newEditor(name, data)
	var errs []error
	for _, k := range Keys() {
		if value, ok := changes[k.Name]; ok {
			if err := e.change(k, &was, value); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for key := range changes {
		if !slices.ContainsFunc(Keys(), func(k Key) bool { return k.Name == key }) {
			errs = append(errs, &KeyError{key, "there is no such key"})
		}
	}
	// Who may change the file and not read its password is not sent it either.
	if broker, ok := changes["mqtt.broker"]; ok && broker != "" && broker != was.MQTT.Broker.Reveal() && !was.MQTT.Password.IsZero() {
		if _, given := changes["mqtt.password"]; !given {
			errs = append(errs, &KeyError{"mqtt.password", "is the one for the broker before: give that of the new one"})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	out := e.bytes()
	if now, err := Parse(name, out); err == nil {
		for _, k := range Changed(&was, &now) {
			if _, meant := changes[k.Name]; !meant {
				return nil, fmt.Errorf("%s: %w: %s would change too", name, ErrByHand, k.Name)
			}
		}
	}
	return out, nil
}

// editor changes a text, one key after the other.
type editor struct {
	name, text string
	dos        bool // the file's lines end as Windows has it
}

func newEditor(name string, data []byte) editor {
	text := strings.TrimPrefix(string(data), "\ufeff")
	return editor{name, strings.ReplaceAll(text, "\r\n", "\n"), strings.Contains(text, "\r\n")}
}

// bytes is the file.
func (e *editor) bytes() []byte {
	if e.dos {
		return []byte(strings.ReplaceAll(e.text, "\n", "\r\n"))
	}
	return []byte(e.text)
}

// spot is where a key stands.
type spot struct {
	at     int  // offset in the text
	indent int  // of the key, in bytes
	flow   bool // within braces
	group  bool // its value is a group in lines of its own, or none
}

func (e *editor) change(k Key, was *Config, value string) error {
	bad := func(err error) error { return &KeyError{k.Name, err.Error()} }
	if k.ByHand {
		return bad(errors.New("is changed in the file alone: who may set it may run any program here"))
	}
	value = strings.TrimSpace(value)
	t := k.Of(was).Type()
	if reference.MatchString(value) {
		return bad(errors.New("a reference to a secret is written in the file alone: by it files of this device could be sent elsewhere"))
	}
	if i := strings.IndexFunc(value, func(r rune) bool { return unicode.IsControl(r) && (r != '\n' || t.Kind() != reflect.Map) }); i >= 0 {
		return bad(errors.New("has a line break or another control character in it"))
	}
	if t.Kind() != reflect.Map {
		y, err := inYAML(t, value)
		if err != nil {
			return bad(err)
		}
		return e.set(k.Name, y)
	}
	names, values, err := entries(value)
	if err != nil {
		return bad(err)
	}
	_, before, err := entries(text(k.Of(was)))
	if err != nil {
		return bad(ErrByHand)
	}
	for _, name := range sorted(before) {
		if _, stays := values[name]; !stays {
			if err := e.remove(k.Name + "." + name); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if before[name] == values[name] {
			continue
		}
		y, err := inYAML(t.Elem(), values[name])
		if err != nil {
			return bad(err)
		}
		if err := e.set(k.Name+"."+name, y); err != nil {
			return err
		}
	}
	return nil
}

// spots finds every key of the text.
func (e *editor) spots() (map[string]spot, error) {
	d := decoder{file: e.name, lines: strings.Split(e.text, "\n")}
	body, err := d.parse([]byte(e.text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrByHand, err)
	}
	begins := []int{0}
	for _, l := range d.lines {
		begins = append(begins, begins[len(begins)-1]+len(l)+1)
	}
	all := map[string]spot{}
	var walk func(n ast.Node, path string)
	walk = func(n ast.Node, path string) {
		var pairs []*ast.MappingValueNode
		flow := false
		switch m := n.(type) {
		case *ast.AnchorNode:
			walk(m.Value, path)
			return
		case *ast.MappingNode:
			pairs, flow = m.Values, m.IsFlowStyle
		case *ast.MappingValueNode:
			pairs = []*ast.MappingValueNode{m}
		}
		for _, p := range pairs {
			place := at(p.Key)
			if place.Line < 1 || place.Line > len(d.lines) {
				continue
			}
			runes := []rune(d.lines[place.Line-1])
			indent := len(string(runes[:min(max(place.Col-1, 0), len(runes))]))
			below := join(path, p.Key.GetToken().Value)
			_, null := p.Value.(*ast.NullNode)
			m, block := p.Value.(*ast.MappingNode)
			_, one := p.Value.(*ast.MappingValueNode)
			all[below] = spot{begins[place.Line-1] + indent, indent, flow, null || one || block && !m.IsFlowStyle}
			walk(p.Value, below)
		}
	}
	walk(body, "")
	return all, nil
}

// set gives a key a value, which is YAML in one line.
func (e *editor) set(path, value string) error {
	all, err := e.spots()
	if err != nil {
		return err
	}
	if s, ok := all[path]; ok {
		e.replace(s, value)
		return nil
	}
	group, key := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		group, key = path[:i], path[i+1:]
	}
	pair := key + ": " + value
	if group == "" {
		if e.text != "" && !strings.HasSuffix(e.text, "\n") {
			e.text += "\n"
		}
		e.text += pair + "\n"
		return nil
	}
	if _, ok := all[group]; !ok {
		if err := e.set(group, "{}"); err != nil {
			return err
		}
		if all, err = e.spots(); err != nil {
			return err
		}
	}
	g, ok := all[group]
	if !ok {
		return fmt.Errorf("%s: %w", group, ErrByHand)
	}
	from, to := e.value(g)
	inside, braces := strings.CutPrefix(strings.TrimSpace(e.text[from:to]), "{")
	switch inside = strings.TrimSpace(strings.TrimSuffix(inside, "}")); {
	case braces && (inside != "" || g.flow):
		i := from + strings.IndexByte(e.text[from:to], '{') + 1
		if inside != "" {
			pair += ", "
		}
		e.text = e.text[:i] + pair + e.text[i:]
		return nil
	case braces: // an empty one: its keys get lines
		e.replace(g, "")
	case !g.group:
		return fmt.Errorf("%s: %w", group, ErrByHand)
	}
	e.below(group, pair)
	return nil
}

// below writes a pair as the last of a group in lines of its own.
func (e *editor) below(group, pair string) {
	all, err := e.spots()
	if err != nil {
		return // whoever parses the text next says so
	}
	g := all[group]
	indent, after := g.indent+2, e.lineEnd(g.at)
	for path, s := range all {
		if rest, ok := strings.CutPrefix(path, group+"."); ok && !strings.Contains(rest, ".") {
			_, to := e.value(s)
			indent, after = s.indent, max(after, e.blockEnd(s, to))
		}
	}
	if after == len(e.text) && !strings.HasSuffix(e.text, "\n") {
		e.text += "\n"
		after++
	}
	e.text = e.text[:after] + strings.Repeat(" ", indent) + pair + "\n" + e.text[after:]
}

// remove takes a key away.
func (e *editor) remove(path string) error {
	all, err := e.spots()
	if err != nil {
		return err
	}
	s, ok := all[path]
	if !ok {
		return nil
	}
	_, to := e.value(s)
	if !s.flow {
		begin := s.at - s.indent
		e.text = e.text[:begin] + e.kept(e.lineEnd(to), e.blockEnd(s, to)) + e.text[e.blockEnd(s, to):]
		group := path[:strings.LastIndexByte(path, '.')]
		if left, err := e.spots(); err == nil && !slices.ContainsFunc(sorted(left), func(p string) bool { return strings.HasPrefix(p, group+".") }) {
			return e.set(group, "{}")
		}
		return nil
	}
	from := s.at
	switch tail := strings.TrimLeft(e.text[to:], " \t\n"); {
	case strings.HasPrefix(tail, ","):
		to = len(e.text) - len(strings.TrimLeft(tail[1:], " \t"))
	default: // the last one: the comma before it goes
		if head := strings.TrimRight(e.text[:from], " \t\n"); strings.HasSuffix(head, ",") {
			from = len(head) - 1
		}
	}
	e.text = e.text[:from] + e.text[to:]
	return nil
}

// value returns where what a key's line says begins, after the colon, and
// ends. A value in lines of its own is not in it: see blockEnd.
func (e *editor) value(s spot) (from, to int) {
	from = e.token(s.at, func(c byte, next byte) bool {
		return c == ':' && (next == ' ' || next == '\n' || next == '\t' || next == 0)
	})
	from = min(from+1, len(e.text))
	i := from
	for i < len(e.text) && (e.text[i] == ' ' || e.text[i] == '\t') {
		i++
	}
	if i == len(e.text) || e.text[i] == '\n' || e.text[i] == '#' && i > from {
		return from, from
	}
	to = e.token(i, func(c byte, next byte) bool {
		return c == '\n' || c == ' ' && next == '#' || s.flow && (c == ',' || c == '}' || c == ']')
	})
	return from, i + len(strings.TrimRight(e.text[i:to], " \t"))
}

// token returns where end is true first from i on, outside quotes, brackets
// and braces.
func (e *editor) token(i int, end func(c, next byte) bool) int {
	depth := 0
	var quote byte
	for start := i; i < len(e.text); i++ {
		c, next := e.text[i], byte(0)
		if i+1 < len(e.text) {
			next = e.text[i+1]
		}
		switch {
		case quote == '"' && c == '\\':
			i++
		case quote == '\'' && c == '\'' && next == '\'': // stands for one
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case depth == 0 && end(c, next):
			return i
		case c == '#' && i > start && strings.IndexByte(" \t\n", e.text[i-1]) >= 0: // a comment within braces
			for i+1 < len(e.text) && e.text[i+1] != '\n' {
				i++
			}
		case (c == '"' || c == '\'') && (i == start || strings.IndexByte(" \t\n,[{", e.text[i-1]) >= 0):
			quote = c
		case c == '[' || c == '{':
			depth += 1
		case c == ']' || c == '}':
			depth -= 1
		}
	}
	return len(e.text)
}

// lineEnd is where the next line begins.
func (e *editor) lineEnd(i int) int {
	if n := strings.IndexByte(e.text[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(e.text)
}

// blockEnd is where the last line ends that belongs to a key whose own line
// says what goes to to.
func (e *editor) blockEnd(s spot, to int) int {
	end := e.lineEnd(to)
	for i := end; i < len(e.text); i = e.lineEnd(i) {
		line := e.text[i:e.lineEnd(i)]
		bare := strings.TrimLeft(line, " ")
		indent := len(line) - len(bare)
		switch bare = strings.TrimSpace(bare); {
		case bare == "" || bare[0] == '#':
			continue
		case indent > s.indent || indent == s.indent && strings.HasPrefix(bare, "-"):
			end = e.lineEnd(i)
			continue
		}
		break
	}
	return end
}

// kept are the comments among lines that go.
func (e *editor) kept(from, to int) (comments string) {
	for line := range strings.Lines(e.text[from:max(from, to)]) {
		if bare := strings.TrimSpace(line); bare == "" || bare[0] == '#' {
			comments += line
		}
	}
	return comments
}

// replace gives the key at s another value. A comment beside it stays in its
// column, and comments among lines that go stay, too.
func (e *editor) replace(s spot, value string) {
	from, to := e.value(s)
	if old := e.text[from:to]; value != "" {
		value = or(old[:len(old)-len(strings.TrimLeft(old, " \t"))], " ") + value
	}
	if s.flow {
		e.text = e.text[:from] + value + e.text[to:]
		return
	}
	end, last := e.lineEnd(to), e.blockEnd(s, to)
	rest := e.text[to:end]
	if comment := strings.TrimLeft(rest, " \t"); strings.HasPrefix(comment, "#") {
		room := to - from + len(rest) - len(comment) - len(value)
		rest = strings.Repeat(" ", max(1, room)) + comment
	}
	e.text = e.text[:from] + value + rest + e.kept(end, last) + e.text[last:]
}
