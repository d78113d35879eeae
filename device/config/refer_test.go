package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mien/runtime/secret"
)

// Every key that holds a secret can be kept in each of the three places, and no
// other key can.
func TestEverySecretCanBeKeptElsewhere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	values := map[string]string{"camera.source": "rtsp://me:S3cretMark@cam/1", "mqtt.broker": "mqtt://broker:1883", "webhook.url": "https://h/S3cretMark"}
	for _, k := range Keys() {
		value, ok := values[k.Name]
		if !ok {
			value = "S3cretMark-0123456789"
		}
		file := filepath.Join(dir, "it")
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("MIEN_TEST_IT", value)
		in := k.Name + ": "
		if group, key, grouped := strings.Cut(k.Name, "."); grouped {
			in = group + ":\n  " + key + ": "
		}
		for _, ref := range []string{"${FILE:" + file + "}", "${ENV:MIEN_TEST_IT}", "${CREDENTIAL:it}"} {
			c, err := Parse("f", []byte(in+ref+"\n"))
			got, elsewhere := "", false
			switch x := k.Of(&c).Interface().(type) {
			case secret.Text:
				got, elsewhere = x.Reveal(), x.Elsewhere()
			case secret.URL:
				got, elsewhere = x.Reveal(), x.Elsewhere()
			default:
				if err == nil {
					t.Errorf("%s: %s is taken", k.Name, ref)
				}
				continue
			}
			if err != nil || got != value || !elsewhere {
				t.Errorf("%s: %s is %q, elsewhere %v, %v", k.Name, ref, got, elsewhere, err)
			}
			for _, s := range c.Settings() {
				if strings.Contains(s.Value, "S3cretMark") {
					t.Errorf("%s is shown as %s", s.Name, s.Value)
				}
			}
			if names := c.Secrets(); len(names) > 0 {
				t.Errorf("%s: the file is said to hold %v", k.Name, names)
			}
			// Who has the page's token alone reads no file by it.
			if _, err := Edit("f", nil, map[string]string{k.Name: ref}); err == nil || !strings.Contains(err.Error(), "in the file alone") {
				t.Errorf("%s: the page can refer to %s: %v", k.Name, ref, err)
			}
		}
	}
}

// Within an address a password is escaped, and stands only where it is not shown.
func TestReferenceWithinAnAddress(t *testing.T) {
	t.Setenv("MIEN_TEST_IT", "p@ss w/rd:?#%")
	c, err := Parse("f", []byte("camera:\n  source: rtsp://door:${ENV:MIEN_TEST_IT}@cam/1?key=${ENV:MIEN_TEST_IT}\n"))
	if want := "rtsp://door:p%40ss%20w%2Frd%3A%3F%23%25@cam/1?key=p%40ss%20w%2Frd%3A%3F%23%25"; err != nil || c.Camera.Source.Reveal() != want {
		t.Errorf("%q, %v", c.Camera.Source.Reveal(), err)
	}
	if _, err := Parse("f", []byte("camera:\n  source: http://cam/${ENV:MIEN_TEST_IT}\n")); err == nil || !strings.Contains(err.Error(), "f:2:") || !strings.Contains(err.Error(), "before its @") {
		t.Error(err)
	}
}

// What a reference leads to that is nothing is said at its place, and nothing of it
// is shown.
func TestReferencesThatLeadNowhere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv("MIEN_TEST_EMPTY", "")
	two := filepath.Join(dir, "two")
	if err := os.WriteFile(two, []byte("S3cretMark\nS3cretMark\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"${FILE:/nonexistent}": "no such file", "${FILE:token}": "no whole path", "${FILE:" + dir + "}": "no plain file", "${FILE:" + two + "}": "more than a line",
		"${FILE:/dev/zero}": "no plain file", "${ENV:MIEN_TEST_NONE}": "no MIEN_TEST_NONE", "${ENV:MIEN_TEST_EMPTY}": "it is empty", "${ENV:}": "has no",
		"${CREDENTIAL:none}": "LoadCredential=none", "${CREDENTIAL:../two}": "no credential's name", "${CREDENTIAL:..}": "no credential's name",
	} {
		_, err := Parse("f", []byte("mqtt:\n  password: "+ref+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "f:2:13: mqtt.password: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "S3cretMark") {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
	if c, err := Parse("f", []byte("mqtt: {password: 'a${b}$c'}\n")); err != nil || c.MQTT.Password.Reveal() != "a${b}$c" || c.MQTT.Password.Elsewhere() {
		t.Errorf("what is no reference is read as one: %v", err)
	}
	// Those of another machine are not looked for.
	if _, err := ParseWith("f", []byte("status: {listen: ':80', token: '${FILE:/nonexistent}'}\n"), Elsewhere); err != nil {
		t.Error(err)
	}
}
