package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"mien/runtime/secret"
)

// decoder fills a Config from a document and remembers the place of every key,
// for what is found wrong later. The YAML package parses; what a value means
// is decided here, by the type of its key: a key of text takes the text as it
// is written, whatever else YAML could see in it.
type decoder struct {
	file    string
	lookup  Lookup
	lines   []string // of the document
	anchors map[string]ast.Node
	places  map[string]Place
	errs    []error
}

// Place is where something stands in a file.
type Place struct{ Line, Col int } // from 1

// maxErrors is how many faults of one file are told.
const maxErrors = 20

func (d *decoder) fail(p Place, format string, args ...any) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, &Error{d.file, p.Line, p.Col, fmt.Sprintf(format, args...)})
	}
}

func at(n ast.Node) Place {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return Place{t.Position.Line, t.Position.Column}
	}
	return Place{}
}

// start is where a node begins: a group's own token is its first colon.
func start(n ast.Node) Place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return at(m.Values[0].Key)
	}
	return at(n)
}

// document decodes the body of a document.
func (d *decoder) document(body ast.Node, c *Config) {
	d.anchors = map[string]ast.Node{}
	ast.Walk(anchors(d.anchors), body)
	d.value(body, reflect.ValueOf(c).Elem(), "")
}

// anchors is an ast.Visitor that collects what aliases stand for.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if x, ok := n.(*ast.AnchorNode); ok {
		a[x.Name.String()] = x.Value
	}
	return a
}

// value decodes a node into v, which the dotted path names.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	kind := kindOf(v.Type())
	if n = d.plain(n, kind); n == nil {
		return
	}
	d.places[path] = start(n)
	if null, ok := n.(*ast.NullNode); ok {
		if kind.text && null.Token.Type == token.NullType {
			d.fail(at(n), "%s: %s is nothing in YAML: quote it to mean the text, or leave the key out", path, null.Token.Value)
		}
		return // nothing said: the default
	}
	switch v.Kind() {
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.mapping(n, kind, path, func(p *ast.MappingValueNode) { d.entry(v, p, path) })
	case reflect.Struct:
		if kind.group {
			d.mapping(n, kind, path, func(p *ast.MappingValueNode) { d.field(v, p, path) })
			return
		}
		fallthrough
	default:
		d.scalar(n, v, kind, path)
	}
}

// plain takes anchors and aliases off a node. It returns nil, and says why,
// where they or a tag stand for a value: there they are a slip, for which
// quotes were meant.
func (d *decoder) plain(n ast.Node, kind kind) ast.Node {
	for range 8 {
		switch x := n.(type) {
		case *ast.TagNode:
			d.fail(at(n), "tags, words that begin with !, have no meaning here: quote the value if the ! is a part of it")
			return nil
		case *ast.AnchorNode:
			if kind.text {
				d.fail(at(n), "& begins an anchor in YAML: quote the value")
				return nil
			}
			n = x.Value
		case *ast.AliasNode:
			to := d.anchors[x.Value.String()]
			if kind.text || to == nil || !before(to, n) {
				d.fail(at(n), "* begins an alias in YAML, and nothing before has its name as an anchor: quote the value if the * is a part of it")
				return nil
			}
			n = to
		default:
			return n
		}
	}
	d.fail(at(n), "an alias of an alias of an alias: write the value")
	return nil
}

func before(a, b ast.Node) bool {
	p, q := at(a), at(b)
	return p.Line < q.Line || p.Line == q.Line && p.Col < q.Col
}

// mapping calls each with every pair of a group.
func (d *decoder) mapping(n ast.Node, kind kind, path string, each func(*ast.MappingValueNode)) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		d.fail(at(n), "%swant %s, got %s", prefix(path), kind.word, describe(n))
		return
	}
	for _, p := range pairs {
		if len(d.errs) >= maxErrors {
			return
		}
		switch k := p.Key.(type) {
		case *ast.MergeKeyNode:
			d.fail(at(k), "merge keys (<<) have no meaning here: write the keys out")
			continue
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		default:
			d.fail(at(k), "%swant a word as the key, as in key: value", prefix(path))
			continue
		}
		each(p)
	}
}

// comment refuses a key of text that has no value but a comment that looks like
// one: no blank after its #.
func (d *decoder) comment(p *ast.MappingValueNode, path string) bool {
	if !d.commented(p) {
		return false
	}
	d.fail(at(p.Key), "%s: the value begins with #, which makes it a comment: quote it", path)
	return true
}

func (d *decoder) commented(p *ast.MappingValueNode) bool {
	null, ok := p.Value.(*ast.NullNode)
	if !ok || null.Token.Type != token.ImplicitNullType || p.Start == nil || p.Start.Position == nil {
		return false
	}
	line, col := p.Start.Position.Line, p.Start.Position.Column
	if line > len(d.lines) {
		return false
	}
	runes := []rune(d.lines[line-1])
	rest := strings.TrimSpace(string(runes[min(col, len(runes)):]))
	return len(rest) > 1 && rest[0] == '#' && !unicode.IsSpace([]rune(rest)[1]) && rest[1] != '#'
}

func (d *decoder) field(v reflect.Value, p *ast.MappingValueNode, path string) {
	t, key := v.Type(), p.Key.GetToken().Value
	var names []string
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if name == key {
			path = join(path, key)
			d.places[path] = at(p.Key)
			if !kindOf(t.Field(i).Type).text || !d.comment(p, path) {
				d.value(p.Value, v.Field(i), path)
			}
			return
		}
		names = append(names, name)
	}
	d.fail(at(p.Key), "unknown field %q%s", key, likely(key, names))
}

// entry decodes one pair of a map whose keys the user chooses.
func (d *decoder) entry(m reflect.Value, p *ast.MappingValueNode, path string) {
	key := p.Key.GetToken().Value
	path = join(path, key)
	if null, ok := p.Value.(*ast.NullNode); ok && kindOf(m.Type().Elem()).text {
		if !d.comment(p, path) {
			d.fail(at(null), "%s: is empty", path)
		}
		return
	}
	elem := reflect.New(m.Type().Elem()).Elem()
	if elem.Type() == reflect.TypeFor[Line]() {
		elem.Set(reflect.ValueOf(Line{Active: "high"}))
	}
	d.value(p.Value, elem, path)
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	m.SetMapIndex(reflect.ValueOf(key), elem)
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(at(n), "%s: want a list such as [a, b], got %s", path, describe(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, item := range s.Values {
		place := fmt.Sprintf("%s[%d]", path, i)
		if null, ok := item.(*ast.NullNode); ok {
			d.fail(at(null), "%s: is empty", place)
			continue
		}
		d.value(item, out.Index(i), place)
	}
	v.Set(out)
}

// What YAML 1.2 calls numbers (https://yaml.org/spec/1.2.2/#1032-tag-resolution),
// without whole numbers that begin with 0: 1.1 took those for octal.
var (
	decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	based   = regexp.MustCompile(`^(0x[0-9a-fA-F]+|0o[0-7]+)$`)
	real    = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
)

// scalar decodes one value by the type of its key.
func (d *decoder) scalar(n ast.Node, v reflect.Value, kind kind, path string) {
	raw, quoted, ok := written(n)
	got := strconv.Quote(raw)
	switch {
	case !ok:
		got = describe(n)
	case quoted:
		got += " in quotes"
	}
	if kind.hidden {
		got = "something else"
	}
	wrong := func() { d.fail(at(n), "want %s, got %s", kind.word, got) }
	if !ok || quoted && !kind.text {
		wrong()
		return
	}
	var below bool
	switch p := v.Addr().Interface().(type) {
	case *string:
		d.text(n, raw, path)
		if r := reference.FindString(raw); r != "" {
			d.fail(at(n), "%s: %s: only keys that hold secrets can refer to them", path, r)
		}
		*p = raw
	case *secret.Text:
		d.text(n, raw, path)
		*p = secret.New(raw)
		if s, some := d.secret(n, raw, path, false); some {
			*p = secret.Elsewhere(s)
		}
	case *secret.URL:
		d.text(n, raw, path)
		*p = secret.NewURL(raw)
		if s, some := d.secret(n, raw, path, true); some {
			*p = secret.URLElsewhere(s)
		}
	case *bool:
		if !slices.Contains([]string{"true", "True", "TRUE", "false", "False", "FALSE"}, raw) {
			wrong()
			return
		}
		*p = strings.EqualFold(raw, "true")
	case *time.Duration:
		x, err := time.ParseDuration(raw)
		if err != nil {
			wrong()
			return
		}
		*p, below = x, x < 0
	case *int:
		x, err := strconv.ParseInt(raw, 0, 32)
		if err != nil || !decimal.MatchString(raw) && !based.MatchString(raw) {
			wrong()
			return
		}
		*p, below = int(x), x < 0
	case *float64:
		x, err := strconv.ParseFloat(raw, 64)
		if err != nil || !real.MatchString(raw) {
			wrong()
			return
		}
		*p, below = x, x < 0 && !strings.HasSuffix(path, "]") // angles turn both ways
	default:
		panic("config: a key of type " + v.Type().String() + " that nobody decodes") // a test of every key finds it
	}
	if below {
		d.fail(at(n), "%s: is %s, it cannot be below zero", path, raw)
	}
}

// secret is what a text with references stands for, and whether it has any.
func (d *decoder) secret(n ast.Node, raw, path string, address bool) (string, bool) {
	s, some, err := d.refer(raw, address)
	if err != nil {
		d.fail(at(n), "%s: %v", path, err)
	}
	return s, some
}

// text refuses what no key of text can mean.
func (d *decoder) text(n ast.Node, s, path string) {
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		d.fail(at(n), "%s: has a line break or another control character (%U) in it", path, []rune(s[i:])[0])
	}
}

// written returns a scalar as it stands in the file, without its quotes.
func written(n ast.Node) (raw string, quoted, ok bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value, x.Token.Type == token.SingleQuoteType || x.Token.Type == token.DoubleQuoteType, true
	case *ast.LiteralNode:
		return x.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

// describe names a node as a reader of YAML would.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a group of keys"
	case *ast.SequenceNode:
		return "a list"
	}
	if _, _, ok := written(n); ok {
		return "one value"
	}
	return "something else"
}

// kind is what a type is to a reader of YAML.
type kind struct {
	word   string
	text   bool // takes the text as written
	hidden bool // and is not to be repeated
	group  bool // a struct of keys
}

func kindOf(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return kind{word: "a duration such as 200ms or 1.5s"}
	case reflect.TypeFor[secret.Text](), reflect.TypeFor[secret.URL]():
		return kind{word: "text", text: true, hidden: true}
	}
	switch t.Kind() {
	case reflect.Int:
		return kind{word: "a whole number"}
	case reflect.Float64:
		return kind{word: "a number"}
	case reflect.Bool:
		return kind{word: "true or false"}
	case reflect.String:
		return kind{word: "text", text: true}
	case reflect.Struct:
		return kind{word: "a group of keys", group: true}
	}
	return kind{word: "a group of keys"}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// likely says which name was meant, or which there are.
func likely(got string, names []string) string {
	for _, n := range names {
		if slip(strings.ToLower(got), n) {
			return fmt.Sprintf(" (%s?)", n)
		}
	}
	return "; there are " + strings.Join(names, ", ")
}

// slip reports whether a differs from b by one letter, or by two neighbours
// that changed places.
func slip(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	a, b = a[i:], b[i:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}
