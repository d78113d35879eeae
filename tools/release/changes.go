package main

import (
	"fmt"
	"regexp"
)

var (
	tagged  = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	pending = regexp.MustCompile(`(?m)^## Not released yet$`)
)

// told makes sure that the change log names a version: that of a tag under its own
// heading, with the day, and any other as not released yet.
func told(changes []byte, version string) error {
	if !tagged.MatchString(version) {
		if !pending.Match(changes) {
			return fmt.Errorf("CHANGELOG.md has no heading \"## Not released yet\", and %s is no tag's version", version)
		}
		return nil
	}
	if !regexp.MustCompile(`(?m)^## ` + regexp.QuoteMeta(version) + ` \(\d{4}-\d\d-\d\d\)$`).Match(changes) {
		return fmt.Errorf("CHANGELOG.md has no heading \"## %s (YYYY-MM-DD)\": write it before the tag", version)
	}
	return nil
}
