// Package licences says whose work is inside the programs and the package, under
// which licence, and with which terms beside it. It holds the texts, which most
// of the licences want to go along, and writes the bill of materials in SPDX's
// format. Its table is the only one: NOTICE, the package's copyright file and the
// texts of Go's modules are made of it by go generate and by make deb.
package licences

import (
	"embed"
	"fmt"
	"io"
	"path"
	"runtime/debug"
	"slices"
	"strings"
)

//go:generate go test -count=1 -run "Module|Notice" . -update

//go:embed texts
var texts embed.FS

// Text is the licence of a part in full, with the notices that go with it.
// Where there is nothing but the licence's own words, these stand there once for
// all parts.
func (p Part) Text() string {
	for _, name := range []string{p.Name, p.Licence} {
		if b, err := texts.ReadFile(path.Join("texts", name+".txt")); err == nil {
			return string(b)
		}
	}
	return ""
}

// Module says whether the part is a module of Go.
func (p Part) Module() bool {
	host, _, ok := strings.Cut(p.Name, "/")
	return ok && strings.Contains(host, ".")
}

// Build is a program as it was built.
type Build struct {
	Program string // mien, miend or init, the first process of the card image
	Version string
	Info    *debug.BuildInfo
}

// tag says whether the program was built with a build tag.
func (b Build) tag(name string) bool {
	for _, s := range b.Info.Settings {
		if s.Key == "-tags" && slices.Contains(strings.Split(s.Value, ","), name) {
			return true
		}
	}
	return false
}

// module returns what Go noted of a module in the program; nil if it is not there.
func (b Build) module(name string) *debug.Module {
	for _, m := range b.Info.Deps {
		if m.Path == name {
			return m
		}
	}
	return nil
}

// Parts are what is inside the program, and in the library beside it.
func (b Build) Parts() []Part {
	var in []Part
	for _, p := range Table {
		switch {
		case p.Module() && b.module(p.Name) == nil,
			p.Only != "" && p.Only != b.Program,
			p.Library && !b.tag("tflite"),
			p.Files != nil && b.Program == "init": // it embeds nothing
		default:
			in = append(in, p)
		}
	}
	return in
}

// Version is that of a part in the program; "" if nothing notes it.
func (b Build) version(p Part) string {
	switch m := b.module(p.Name); {
	case m != nil:
		return m.Version
	case p.Name == "mien":
		return b.Version
	case p.Name == "Go":
		return b.Info.GoVersion
	}
	return p.Version
}

// Print writes the list of the parts, or with names the texts of these; "all"
// is every part.
func (b Build) Print(w io.Writer, names ...string) error {
	parts := b.Parts()
	if len(names) == 0 {
		if _, err := io.WriteString(w, list(parts, b.version)); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\n%s licences PART prints the text of one, %s licences all that of each.\n", b.Program, b.Program)
		return err
	}
	for _, name := range names {
		found := false
		for _, p := range parts {
			if name != "all" && !strings.EqualFold(name, p.Name) && !strings.HasSuffix(p.Name, "/"+name) {
				continue
			}
			found = true
			if _, err := io.WriteString(w, p.full()); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("licences: %s has no part %q (%s licences lists them)", b.Program, name, b.Program)
		}
	}
	return nil
}

// full is the text under a heading.
func (p Part) full() string {
	head := p.Name + ": " + p.Licence
	return head + "\n" + strings.Repeat("=", len(head)) + "\n\n" + indent(p.Terms, "") + p.Text() + "\n"
}

// list is a paragraph a part: name, licence, whose it is, what else binds.
func list(parts []Part, version func(Part) string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace(p.Name+" "+version(p)))
		b.WriteString(indent(p.Licence, "    "))
		b.WriteString(indent(p.Copyright, "    "))
		b.WriteString(indent(p.Terms, "    "))
	}
	return b.String()
}

// indent sets a text in lines of at most 100 bytes.
func indent(text, by string) string {
	var b strings.Builder
	line := by
	for _, word := range strings.Fields(text) {
		if len(line)+len(word) >= 100 {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = by
		}
		line += word + " "
	}
	if line != by {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// Notice is the file NOTICE.
func Notice() string {
	return "mien\nCopyright 2026 The mien authors\nLicensed under the Apache License, Version 2.0: see LICENSE.\n\n" +
		"This is what is in its programs, packages and tree. runtime/licences makes this file; the\n" +
		"texts are in runtime/licences/texts, and each program prints those of its parts: mien licences,\n" +
		"miend licences. A bill of materials in SPDX's format lies beside each Debian package.\n\n" +
		list(Table, func(p Part) string { return p.Version })
}

// Copyright is the copyright file of a Debian package that holds the program, in
// the format of www.debian.org/doc/packaging-manuals/copyright-format/1.0/.
func (b Build) Copyright() string {
	var out strings.Builder
	out.WriteString("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: mien\n" +
		"Comment: The texts of all licences are in third-party.gz beside this file.\n")
	ours, inside, library := []Part{}, []Part{}, []Part{}
	for _, p := range b.Parts() {
		switch {
		case p.Name == "mien":
			ours = append(ours, p)
		case p.Library:
			library = append(library, p)
		default:
			inside = append(inside, p)
		}
	}
	var used []string
	for _, f := range []struct {
		path  string
		parts []Part
	}{{"*", ours}, {"usr/lib/mien/miend", append(ours, inside...)}, {"usr/lib/mien/libtensorflowlite_c.so", library}} {
		if len(f.parts) == 0 {
			continue
		}
		var who, what strings.Builder
		var names []string
		for _, p := range f.parts {
			if p.Copyright != "" {
				who.WriteString("\n" + strings.TrimRight(indent(p.Copyright+" ("+p.Name+")", " "), "\n"))
			}
			what.WriteString("\n" + strings.TrimRight(indent(p.Name+": "+p.Licence+". "+p.Terms, " "), "\n"))
			if name := debian(p.Licence); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		fmt.Fprintf(&out, "\nFiles: %s\nCopyright:%s\nLicense: %s\nComment:%s\n", f.path, who.String(), strings.Join(names, " and "), what.String())
		for _, name := range names {
			used = append(used, strings.Fields(name)...)
		}
	}
	slices.Sort(used)
	for _, licence := range slices.Compact(used) {
		where := "The text is in /usr/share/doc/mien/third-party.gz."
		switch licence {
		case "and", "or":
			continue
		case "Apache-2.0":
			where = "On Debian systems the full text of this license is in\n /usr/share/common-licenses/Apache-2.0."
		}
		fmt.Fprintf(&out, "\nLicense: %s\n %s\n", licence, where)
	}
	return out.String()
}

// debian is how Debian's format writes a choice or a sum of licences.
func debian(spdx string) string {
	return strings.NewReplacer(" OR ", " or ", " AND ", " and ", "LicenseRef-", "").Replace(spdx)
}
