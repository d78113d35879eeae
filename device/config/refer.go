package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"mien/runtime/plainfile"
	"mien/runtime/secret"
)

// A secret key can say where its value is kept instead of holding it:
//
//	${FILE:/etc/mien/token}   what the file holds, without a line break at its end
//	${ENV:MIEN_TOKEN}         a variable of the service's environment
//	${CREDENTIAL:token}       a credential of systemd's (systemd.exec(5), LoadCredential=)
//
// Every key of type secret.Text or secret.URL can, and no other.
var reference = regexp.MustCompile(`\$\{(?i:(FILE|ENV|CREDENTIAL)):([^}]*)\}`)

// Lookup returns what a reference stands for: kind is FILE, ENV or CREDENTIAL.
type Lookup func(kind, name string) (string, error)

// Elsewhere is the Lookup of a configuration that is for another machine, whose
// secrets are not here: something stands for them.
func Elsewhere(kind, name string) (string, error) { return "https://of-another-machine/", nil }

// credentials is where systemd puts them of the running service, for those who
// look from outside and may.
const credentials = "/run/credentials/miend.service"

// mostSecret bounds a file with a secret, in bytes.
const mostSecret = 64 << 10

// here is the Lookup of this machine.
func here(kind, name string) (string, error) {
	switch kind {
	case "ENV":
		v, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("the environment has no %s", name)
		}
		return v, nil
	case "CREDENTIAL":
		if name != filepath.Base(name) || name == ".." || name == "." {
			return "", fmt.Errorf("%q is no credential's name", name)
		}
		dir := or(os.Getenv("CREDENTIALS_DIRECTORY"), credentials)
		v, err := line(filepath.Join(dir, name))
		if err != nil {
			err = fmt.Errorf("%w (systemd puts it there for a service with LoadCredential=%s:FILE)", err, name)
		}
		return v, err
	}
	if !filepath.IsAbs(name) {
		return "", fmt.Errorf("%q is no whole path such as /etc/mien/token", name)
	}
	return line(name)
}

// line reads a file of one line.
func line(path string) (string, error) {
	b, err := plainfile.Read(path, mostSecret)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// refer puts what the references of a text stand for in their place, and says
// whether there are any. What goes into an address is escaped for that; a text
// that is one reference is as what it stands for is.
func (d *decoder) refer(raw string, address bool) (value string, some bool, err error) {
	all := reference.FindAllString(raw, -1)
	if len(all) == 0 {
		return raw, false, nil
	}
	within := address && all[0] != raw
	// Where an address is shown it is without what is before its @, and without
	// the values of its query: elsewhere a secret would be seen.
	const mark = "xMARKx"
	if within && strings.Contains(secret.Redact(reference.ReplaceAllString(raw, mark)), mark) {
		return "", true, errors.New("a reference within an address stands before its @, or is a value of its query: elsewhere it would be shown")
	}
	value = reference.ReplaceAllStringFunc(raw, func(r string) string {
		m := reference.FindStringSubmatch(r)
		v, lookErr := d.lookup(strings.ToUpper(m[1]), m[2])
		switch {
		case err != nil:
		case lookErr != nil:
			err = lookErr
		case v == "":
			err = fmt.Errorf("%s stands for nothing: it is empty", r)
		case strings.ContainsFunc(v, unicode.IsControl):
			err = fmt.Errorf("%s stands for more than a line of text", r)
		}
		if within {
			v = strings.ReplaceAll(url.QueryEscape(v), "+", "%20")
		}
		return v
	})
	return value, true, err
}
