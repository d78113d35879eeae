package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// NOTICE names every module that a program links, and none besides. Its licence
// is that of the file in the module.
func TestNoticeNamesEveryModule(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "NOTICE"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(b), "third-party.gz:\n")
	if !ok {
		t.Fatal("NOTICE has no list of modules")
	}
	said := map[string]string{}
	for line := range strings.Lines(list) {
		if module, licence, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			said[module] = strings.TrimSpace(licence)
		}
	}
	cmd := exec.Command("go", "list", "-deps", "-tags", "tflite", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./tools/mien", "./device/cmd/miend")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-buildvcs=false", "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		module, dir, ok := strings.Cut(line, " ")
		if !ok {
			continue // of the standard library
		}
		licence, ok := said[module]
		delete(said, module)
		if !ok {
			t.Errorf("NOTICE does not name %s", module)
			continue
		}
		if is := licenceIn(t, dir); !strings.HasPrefix(licence, is) {
			t.Errorf("NOTICE says %q of %s, its file is %s", licence, module, is)
		}
	}
	for module := range said {
		t.Errorf("NOTICE names %s, which no program links", module)
	}
}

// licenceIn says which licence a module's file is, by a sentence of each.
func licenceIn(t *testing.T, dir string) string {
	files, err := filepath.Glob(filepath.Join(dir, "[LCU][IOUN][CPL]*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no licence (%v)", dir, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), " ")
	for _, l := range [][2]string{
		{"Eclipse", "EPL-2.0"}, {"Freetype-Go", "FreeType License"}, {"Creative Commons Attribution 4.0", "CC-BY-4.0"},
		{"Apache License", "Apache-2.0"}, {"Permission is hereby granted, free of charge", "MIT"},
		{"Redistribution and use in source and binary", "BSD-3-Clause"}, {"released into the public domain", "Unlicense"},
	} {
		if strings.Contains(text, l[0]) {
			return l[1]
		}
	}
	t.Errorf("%s: which licence is this?", files[0])
	return ""
}
