package licences

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the texts and NOTICE anew")

const root = "../.."

var programs = map[string]string{"mien": "./tools/mien", "miend": "./device/cmd/miend", "init": "./device/cmd/appliance"}

// packages is what go list says of all that a program links, on every system that
// it is built for and with all that may be in it.
func packages(t *testing.T, program, format string) []string {
	t.Helper()
	var all []string
	for _, build := range []struct{ system, arch, cgo, tags string }{
		{"linux", "arm64", "1", "tflite,board,edgetpu"}, {"linux", "arm64", "0", "appliance"}, {"linux", "amd64", "1", "tflite,placed"}, {"linux", "arm", "0", ""},
		{"darwin", "arm64", "0", ""}, {"windows", "amd64", "0", ""},
	} {
		if program != "mien" && build.system != "linux" {
			continue
		}
		cmd := exec.Command("go", "list", "-deps", "-tags", build.tags, "-f", format, programs[program])
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+build.cgo, "GOFLAGS=-buildvcs=false", "GOOS="+build.system, "GOARCH="+build.arch)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list %s: %v: %s", programs[program], err, stderr.String())
		}
		for line := range strings.Lines(string(out)) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, line)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// modules are those of Go that a program links, with their folders.
func modules(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{}
	for program := range programs {
		for _, line := range packages(t, program, "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}") {
			name, dir, _ := strings.Cut(line, " ")
			dirs[name] = dir
		}
	}
	return dirs
}

// written is the text of a licence where its own files are: of a module, of Go,
// of what this tree has from others; "" if it is here alone.
func written(t *testing.T, name string, dirs map[string]string) string {
	t.Helper()
	patterns := []string{filepath.Join(dirs[name], "[LCU][IOUN][CPL]*"), filepath.Join(dirs[name], "license"), filepath.Join(dirs[name], "NOTICE*"), filepath.Join(dirs[name], "licenses", "ftl.txt")}
	switch {
	case name == "Go":
		goroot, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			t.Fatal(err)
		}
		patterns = []string{filepath.Join(strings.TrimSpace(string(goroot)), "LICENSE")}
	case name == "pigo cascades":
		patterns = []string{root + "/runtime/face/cascade/LICENSE"}
	case name == "Apache-2.0":
		patterns = []string{root + "/LICENSE"}
	case dirs[name] == "":
		return ""
	}
	var text strings.Builder
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.IsDir() {
				continue // the texts again, each by its name
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if text.Len() > 0 {
				text.WriteString("\n")
			}
			text.WriteString(plain(b))
		}
	}
	if text.Len() == 0 {
		t.Errorf("%s: no licence in %v", name, patterns)
	}
	return text.String()
}

// plain is a text as UTF-8 with the lines of Unix.
func plain(b []byte) string {
	if !utf8.Valid(b) { // Latin-1, of a sign of copyright
		var runes []rune
		for _, c := range b {
			runes = append(runes, rune(c))
		}
		b = []byte(string(runes))
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// Every module that a program links is in the table, and none besides; each part
// has the text that its makers wrote, and is what the table says it is.
func TestEveryModuleIsInTheTable(t *testing.T) {
	dirs := modules(t)
	if len(dirs) < 20 {
		t.Fatalf("go list tells of %d modules only", len(dirs))
	}
	names := []string{"Apache-2.0"}
	for _, p := range Table {
		names = append(names, p.Name)
		if p.Module() && dirs[p.Name] == "" {
			t.Errorf("the table has %s, which no program links", p.Name)
		}
	}
	for module := range dirs {
		if !slices.Contains(names, module) {
			t.Errorf("a program links %s, which is not in the table (parts.go)", module)
		}
	}
	common, err := os.ReadFile("texts/Apache-2.0.txt")
	if err != nil && !*update {
		t.Fatal(err)
	}
	for _, name := range names {
		want := written(t, name, dirs)
		if want == "" || name != "Apache-2.0" && want == string(common) {
			continue
		}
		file := filepath.Join("texts", filepath.FromSlash(name)+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: the text is not that of the part (%v); go generate ./runtime/licences", name, err)
		}
	}
}

// A sentence that only the text of that licence has.
var says = map[string]string{
	"Apache-2.0": "Apache License Version 2.0", "MIT": "Permission is hereby granted, free of charge", "Unlicense": "released into the public domain",
	"BSD-2-Clause": "Redistribution and use in source and binary", "BSD-3-Clause": "Redistribution and use in source and binary",
	"CC-BY-4.0": "Creative Commons Attribution 4.0", "EPL-2.0": "Eclipse Public License - v 2.0", "FTL": "The FreeType Project LICENSE",
	"MPL-2.0": "Mozilla Public License Version 2.0", "OFL-1.1": "SIL OPEN FONT LICENSE", "LicenseRef-Ooura": "You may use, copy, modify this code for any purpose",
	"LicenseRef-public-domain": "in the public domain", "GPL-2.0-only": "GNU GENERAL PUBLIC LICENSE Version 2, June 1991",
	"LicenseRef-Broadcom": "This software may only be used for the purposes of developing for, running or using a Raspberry Pi device",
}

func TestTextsAreOfTheirLicences(t *testing.T) {
	used := map[string]bool{}
	for _, p := range Table {
		text := strings.Join(strings.Fields(p.Text()), " ")
		if text == "" {
			t.Errorf("%s has no text: texts/%s.txt", p.Name, p.Name)
		}
		var of []string
		for id := range strings.FieldsSeq(p.Licence) {
			if id == "AND" || id == "OR" {
				continue
			}
			if says[id] == "" {
				t.Errorf("%s: what does the text of %s say?", p.Name, id)
			} else if strings.Contains(text, says[id]) {
				of = append(of, id)
			}
		}
		if len(of) == 0 || strings.Contains(p.Licence, " AND ") && len(of) < 2 {
			t.Errorf("%s: its text is not that of %s", p.Name, p.Licence)
		}
		third := !strings.HasPrefix(p.Licence, "BSD-3") || strings.Contains(text, "either the name") || strings.Contains(text, "may not be used to endorse")
		if !third {
			t.Errorf("%s: its text lacks the third clause of %s", p.Name, p.Licence)
		}
		used[p.Name], used[p.Licence] = true, true
	}
	err := filepath.WalkDir("texts", func(file string, d os.DirEntry, err error) error {
		name, _ := strings.CutPrefix(strings.TrimSuffix(filepath.ToSlash(file), ".txt"), "texts/")
		if err == nil && !d.IsDir() && !used[name] {
			t.Errorf("%s is the text of nothing", file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A file that a program embeds is text that we wrote, or somebody's work that the
// table names, as being in that program.
func TestEveryEmbeddedFileIsInTheTable(t *testing.T) {
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]string{} // programs by the patterns of the table
	for program := range programs {
		lines := packages(t, program, `{{with .Module}}{{if .Main}}{{range $.EmbedFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`)
		if len(lines) < 5 && program != "init" {
			t.Fatalf("go list tells of %d embedded files in %s", len(lines), program)
		}
		for _, file := range lines {
			rel, err := filepath.Rel(abs, file)
			if err != nil {
				t.Fatal(err)
			}
			of := func(p Part) bool {
				return slices.ContainsFunc(p.Files, func(pattern string) bool { ok, _ := path.Match(pattern, filepath.ToSlash(rel)); return ok })
			}
			if i := slices.IndexFunc(Table, of); i >= 0 {
				seen[Table[i].Name] = append(seen[Table[i].Name], program)
				continue
			}
			if b, err := os.ReadFile(file); err != nil || !utf8.Valid(b) {
				t.Errorf("%s embeds %s, which the table (parts.go) says nothing of (%v)", program, rel, err)
			}
		}
	}
	for _, p := range Table {
		in := seen[p.Name]
		slices.Sort(in)
		in = slices.Compact(in)
		switch {
		case p.Files == nil:
		case len(in) == 0:
			t.Errorf("%s: no program embeds %v", p.Name, p.Files)
		case len(in) == 1 && p.Only != in[0], len(in) == 2 && p.Only != "":
			t.Errorf("%s is in %v, the table says Only: %q", p.Name, in, p.Only)
		}
	}
}

// Models learned from data whose terms bind; they may not be left out.
func TestTermsOfTheDataAreTold(t *testing.T) {
	var out bytes.Buffer
	if err := (Build{Program: "miend", Info: &debug.BuildInfo{}}).Print(&out); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"UTKFace (for non-commercial research only", "FER-2013 (a public research competition"} {
		if !strings.Contains(text, want) {
			t.Errorf("the list does not say %q", want)
		}
	}
}

func TestNotice(t *testing.T) {
	if *update {
		if err := os.WriteFile(root+"/NOTICE", []byte(Notice()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(root + "/NOTICE"); err != nil || string(got) != Notice() {
		t.Errorf("NOTICE is not what the table says (%v); go generate ./runtime/licences", err)
	}
}

// built is a build as go notes it, with the library and two modules.
func built() Build {
	return Build{Program: "miend", Version: "1.2.3", Info: &debug.BuildInfo{GoVersion: "go1.26.8",
		Deps:     []*debug.Module{{Path: "github.com/eclipse/paho.golang", Version: "v0.23.0"}, {Path: "aead.dev/minisign", Version: "v0.3.0"}},
		Settings: []debug.BuildSetting{{Key: "-tags", Value: "board,tflite"}}}}
}

func TestPartsAreThoseOfTheBuild(t *testing.T) {
	has := func(b Build, name string) bool {
		return slices.ContainsFunc(b.Parts(), func(p Part) bool { return p.Name == name })
	}
	b := built()
	pure, tool := built(), built()
	pure.Info.Settings, tool.Program = nil, "mien"
	for _, c := range []struct {
		b    Build
		name string
		want bool
	}{
		{b, "aead.dev/minisign", true}, {b, "gonum.org/v1/plot", false}, {b, "XNNPACK", true}, {pure, "XNNPACK", false},
		{b, "astronaut", true}, {tool, "models", false}, {b, "models", true},
	} {
		if has(c.b, c.name) != c.want {
			t.Errorf("%s in %s with %v: %v", c.name, c.b.Program, c.b.Info.Settings, !c.want)
		}
	}
	var one, all bytes.Buffer
	if err := b.Print(&one, "paho.golang"); err != nil || !strings.Contains(one.String(), "Eclipse Public License - v 2.0") {
		t.Errorf("paho's text: %v: %.200s", err, one.String())
	}
	if err := b.Print(&all, "all"); err != nil || strings.Count(all.String(), "\n====") < len(b.Parts()) {
		t.Errorf("all texts: %v, %d bytes", err, all.Len())
	}
	if err := b.Print(&one, "emacs"); err == nil {
		t.Error("a part that is not there has a text")
	}
}

// The bill of materials is what the specification wants: names that are unique,
// relations of what is there, licences in SPDX's words.
func TestSPDX(t *testing.T) {
	b := built()
	var out bytes.Buffer
	if err := b.SPDX(&out, time.Unix(1764316800, 0)); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	id, licence := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`), regexp.MustCompile(`^[A-Za-z0-9.-]+( (AND|OR) [A-Za-z0-9.-]+)*$`)
	ids := map[string]bool{d.ID: true}
	for _, p := range d.Packages {
		if ids[p.ID] || !id.MatchString(p.ID) || !licence.MatchString(p.Declared) || p.Download == "" || p.CopyrightText == "" {
			t.Errorf("package %+v", p)
		}
		ids[p.ID] = true
		for word := range strings.FieldsSeq(p.Declared) {
			if strings.HasPrefix(word, "LicenseRef-") && !slices.ContainsFunc(d.Extracted, func(e extracted) bool { return e.ID == word && e.Text != "" }) {
				t.Errorf("%s: the text of %s is not there", p.Name, word)
			}
		}
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("relation %+v of what is not there", r)
		}
	}
	if len(d.Packages) != len(b.Parts()) || len(d.Relationships) != len(d.Packages) || d.CreationInfo.Created != "2025-11-28T08:00:00Z" {
		t.Errorf("%d packages and %d relations of %d parts, made %s", len(d.Packages), len(d.Relationships), len(b.Parts()), d.CreationInfo.Created)
	}
	if want := `"pkg:golang/github.com/eclipse/paho.golang@v0.23.0"`; !strings.Contains(out.String(), want) {
		t.Errorf("no %s", want)
	}
}

// Debian's format: each licence that a paragraph names has a paragraph.
func TestCopyright(t *testing.T) {
	text := built().Copyright()
	for line := range strings.Lines(text) {
		names, _ := strings.CutPrefix(strings.TrimSpace(line), "License: ")
		if names == strings.TrimSpace(line) {
			continue
		}
		for name := range strings.FieldsSeq(names) {
			if name != "and" && name != "or" && !strings.Contains(text, "\n\nLicense: "+name+"\n ") {
				t.Errorf("%s has no paragraph", name)
			}
		}
	}
	for _, want := range []string{"EPL-2.0 or BSD-3-Clause", "Files: usr/lib/mien/libtensorflowlite_c.so\nCopyright:\n 2015-2022 The TensorFlow Authors", "non-commercial"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
