// Package secret holds what a configuration knows and nobody else may read:
// passwords, tokens, and addresses that have a password in them. Its types
// print as Hidden wherever Go prints them by itself (fmt with any verb, JSON,
// YAML, slog, an error that wraps them); only Reveal gives the text.
package secret

import (
	"fmt"
	"strings"
)

// Hidden stands for what is not shown.
const Hidden = "xxxxx"

// Text is a password, a token or a user's name. The zero value is empty.
//
// The text is behind a pointer, so that reflection over a struct that holds a
// Text in a field that is not exported finds an address and no text.
type Text struct {
	v         *string
	elsewhere bool
}

// New returns s as a secret.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{v: &s}
}

// Elsewhere returns s as a secret that is not written in the configuration, which
// only says where it is kept.
func Elsewhere(s string) Text { return Text{&s, true} }

// Elsewhere reports whether the text is kept elsewhere.
func (t Text) Elsewhere() bool { return t.elsewhere }

// Reveal returns the text, for those who need it: a login, a comparison.
func (t Text) Reveal() string {
	if t.v == nil {
		return ""
	}
	return *t.v
}

// IsZero reports whether there is no text.
func (t Text) IsZero() bool { return t.Reveal() == "" }

// Equal reports whether both are the same text.
func (t Text) Equal(u Text) bool { return t.Reveal() == u.Reveal() }

// String is Hidden, or empty when there is no text.
func (t Text) String() string {
	if t.IsZero() {
		return ""
	}
	return Hidden
}

// Format implements fmt.Formatter: every verb shows what String says.
func (t Text) Format(f fmt.State, verb rune) { fmt.Fprintf(f, fmt.FormatString(f, verb), t.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON, YAML and slog.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: it takes the text itself.
func (t *Text) UnmarshalText(b []byte) error {
	*t = New(string(b))
	return nil
}

// URL is an address that may have a name, a password or a key in it. It shows
// as Redact shows it.
type URL struct{ v Text }

// NewURL returns s as an address.
func NewURL(s string) URL { return URL{New(s)} }

// URLElsewhere returns s as an address that is kept elsewhere, as a whole or what
// is secret in it; see Elsewhere.
func URLElsewhere(s string) URL { return URL{Elsewhere(s)} }

// Elsewhere reports whether what is secret in the address is kept elsewhere.
func (u URL) Elsewhere() bool { return u.v.Elsewhere() }

// Reveal returns the whole address.
func (u URL) Reveal() string { return u.v.Reveal() }

// IsZero reports whether there is no address.
func (u URL) IsZero() bool { return u.v.IsZero() }

// Equal reports whether both are the same address.
func (u URL) Equal(w URL) bool { return u.v.Equal(w.v) }

// String is the address without what may be secret in it.
func (u URL) String() string { return Redact(u.Reveal()) }

// Format implements fmt.Formatter: every verb shows what String says.
func (u URL) Format(f fmt.State, verb rune) { fmt.Fprintf(f, fmt.FormatString(f, verb), u.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON, YAML and slog.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: it takes the address
// itself.
func (u *URL) UnmarshalText(b []byte) error { return u.v.UnmarshalText(b) }

// Redact returns an address without what may be secret in it: user and
// password, the values of its query and of a path such as /user=a_password=b,
// and its fragment. It goes by the text and not by the standard's grammar, so
// that an address that is no right one, with a password that is not escaped
// for instance, is hidden as well. What is no address comes back as it is,
// but for what stands before an @.
func Redact(s string) string {
	at, scheme := strings.LastIndexByte(s, '@'), strings.Index(s, "://")
	if at < 0 && scheme < 0 {
		return s // a word, a path
	}
	head, rest := "", s
	if scheme >= 0 && !strings.ContainsFunc(s[:scheme], notOfScheme) {
		head, rest = s[:scheme+3], s[scheme+3:]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		head, rest = head+Hidden+"@", rest[i+1:]
	}
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	out := head + path(rest)
	if hasQuery {
		out += "?" + values(query)
	}
	if hasFragment && fragment != "" {
		out += "#" + Hidden
	}
	return out
}

func notOfScheme(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+')
}

// path hides the parts of a path that give something a value.
func path(p string) string {
	parts := strings.Split(p, "/")
	for i, part := range parts {
		if strings.ContainsAny(part, "=;") {
			parts[i] = Hidden
		}
	}
	return strings.Join(parts, "/")
}

// values hides the values of a query and keeps its keys.
func values(q string) string {
	pairs := strings.FieldsFunc(q, func(r rune) bool { return r == '&' || r == ';' })
	for i, p := range pairs {
		if key, _, ok := strings.Cut(p, "="); ok {
			pairs[i] = key + "=" + Hidden
		} else {
			pairs[i] = Hidden
		}
	}
	return strings.Join(pairs, "&")
}
