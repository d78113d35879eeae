package config

import (
	"io/fs"
	"strings"
	"testing"

	"mien/runtime/secret"
)

// Who else can read or change a file with secrets is told.
func TestExposed(t *testing.T) {
	plain, full, hashed := Default(), Default(), Default()
	full.MQTT.Password, full.Camera.Source = secret.New("p"), secret.NewURL("http://a:b@c/")
	hashed.Status.Token = secret.New("sha256:" + strings.Repeat("0a", 32))
	for _, c := range []struct {
		cfg  *Config
		path string
		mode fs.FileMode
		want string
	}{
		{&full, "/a", 0o640, ""}, {&full, "/a", 0o600, ""}, {&full, Installed, 0o640, ""},
		{&full, "/a", 0o644, "can be read by everybody (mode 0644), and holds camera.source, mqtt.password"},
		{&full, Installed, 0o644, "and holds camera.source, mqtt.password"},
		{&full, "/a", 0o666, "can be changed by everybody (mode 0666)"},
		{&plain, "/a", 0o622, "can be changed by everybody"},
		{&plain, "/a", 0o644, ""}, {&hashed, "/a", 0o644, ""},
		{&plain, Installed, 0o644, "can be read by everybody (mode 0644)"},
	} {
		got := Exposed(c.cfg, c.path, c.mode)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s of mode %#o: %q, want %q", c.path, c.mode, got, c.want)
		}
	}
}
