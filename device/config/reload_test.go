package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What comes from afar, or by the page, names no file of this machine, however it is
// written.
func TestEditTakesNoReference(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("https://S3cretMark/"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MIEN_TEST_IT", "https://S3cretMark/")
	for _, value := range []string{"${FILE:" + file + "}", "'${file:" + file + "}'", `"\x24{FILE:` + file + `}"`, "${ENV:MIEN_TEST_IT}", "https://host/${ENV:MIEN_TEST_IT}"} {
		out, err := Edit("f", []byte("name: door\n"), map[string]string{"webhook.url": value})
		if err == nil { // as a text, whatever YAML makes of it elsewhere
			var c Config
			if c, err = Parse("f", out); err == nil && strings.Contains(c.Webhook.URL.Reveal(), "S3cretMark") {
				t.Errorf("%s: %q", value, c.Webhook.URL.Reveal())
			}
		}
		if err == nil {
			t.Errorf("%s is taken", value)
		}
	}
}
