package cmdline

import (
	"runtime/debug"
	"strings"
)

// Version is a program's version: the one that make stamped into it, else what
// go build noted of the commit.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	revision := set["vcs.revision"]
	if revision == "" {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			return v
		}
		return "unknown (built without its history)"
	}
	v := revision[:min(len(revision), 9)]
	if at, _, ok := strings.Cut(set["vcs.time"], "T"); ok {
		v += " of " + at
	}
	if set["vcs.modified"] == "true" {
		v += ", changed since"
	}
	return v
}
