package config

import (
	"fmt"
	"io/fs"
	"strings"

	"mien/runtime/secret"
)

// Secrets returns the names of the keys that hold something which others must
// not read. A token that is given as its hash is none, nor is what is kept
// elsewhere.
func (c *Config) Secrets() (names []string) {
	for _, k := range Keys() {
		switch v := k.Of(c).Interface().(type) {
		case secret.Text:
			if !v.IsZero() && !v.Elsewhere() && !strings.HasPrefix(v.Reveal(), "sha256:") {
				names = append(names, k.Name)
			}
		case secret.URL:
			if v.String() != v.Reveal() && !v.Elsewhere() {
				names = append(names, k.Name)
			}
		}
	}
	return names
}

// Installed is where the package puts the configuration, for root and the
// service's group alone.
const Installed = "/etc/mien/mien.yaml"

// Exposed says what is wrong with the mode of the file that holds c: others
// than its owner and its group can change it, or read its secrets. The
// installed one is for nobody else in any case.
func Exposed(c *Config, path string, mode fs.FileMode) string {
	secrets := c.Secrets()
	switch {
	case path == Installed && mode&0o004 != 0 && len(secrets) == 0:
		return fmt.Sprintf("can be read by everybody (mode %#o)", mode.Perm())
	case mode&0o002 != 0:
		return fmt.Sprintf("can be changed by everybody (mode %#o)", mode.Perm())
	case mode&0o004 != 0 && len(secrets) > 0:
		return fmt.Sprintf("can be read by everybody (mode %#o), and holds %s", mode.Perm(), strings.Join(secrets, ", "))
	}
	return ""
}

// Enclose is the command that lets the service alone read the file at path.
func Enclose(path string) string {
	return fmt.Sprintf("sudo chgrp mien %s && sudo chmod 0640 %s", path, path)
}
