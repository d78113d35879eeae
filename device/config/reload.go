package config

import (
	"reflect"
	"strings"
)

// Reload is what it takes to take a changed key over.
type Reload string

// What the tag reload can say.
const (
	Restart Reload = "restart" // the program has to start again
	Reading Reload = "reading" // finder, tracker and heads are made anew; faces are followed on
	Heads   Reload = "heads"   // both of the above and below
	Lines   Reload = "lines"   // the contract's machine is made anew; lines that stay do not move
	Page    Reload = "page"    // the page is told
	Rate    Reload = "rate"    // nothing: the key is looked at all the time
)

// Key is one key of the configuration.
type Key struct {
	Name   string // with its groups, as in camera.source
	Reload Reload
	ByHand bool // Edit leaves it alone: it is changed in the file
	index  []int
}

// Keys returns every key in the order of the sample. Groups are no keys, maps
// are.
func Keys() []Key { return keys(nil, reflect.TypeFor[Config](), "", nil) }

func keys(all []Key, t reflect.Type, path string, index []int) []Key {
	for i := range t.NumField() {
		f := t.Field(i)
		name, at := join(path, f.Tag.Get("yaml")), append(index[:len(index):len(index)], i)
		if kindOf(f.Type).group {
			all = keys(all, f.Type, name, at)
			continue
		}
		all = append(all, Key{name, Reload(f.Tag.Get("reload")), f.Tag.Get("edit") == "hand", at})
	}
	return all
}

// KeyOf returns the key of a name.
func KeyOf(name string) (Key, bool) {
	for _, k := range Keys() {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// Of returns the key's value in c.
func (k Key) Of(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(k.index) }

// Changed returns the keys that differ between two configurations.
func Changed(a, b *Config) (changed []Key) {
	for _, k := range Keys() {
		if !reflect.DeepEqual(k.Of(a).Interface(), k.Of(b).Interface()) {
			changed = append(changed, k)
		}
	}
	return changed
}

// Names joins the names of keys.
func Names(keys []Key) string {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}
