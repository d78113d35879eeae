package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files before the present one come back in turn, the last first, and there
// are not more and more of them. The mode stays as somebody set it.
func TestReplaceAndUndo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mien.yaml")
	if err := Undo(path); err == nil {
		t.Error("there is nothing to undo")
	}
	for i := range keptFiles + 3 {
		if err := Replace(path, fmt.Appendf(nil, "name: n%d\n", i)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := keptFiles + 1; i > 1; i-- {
		if _, n, err := Before(path); err != nil || n != i-1 {
			t.Fatalf("%d kept, want %d (%v)", n, i-1, err)
		}
		if err := Undo(path); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		st, _ := os.Stat(path)
		if err != nil || c.Name != fmt.Sprintf("n%d", i) || st.Mode().Perm() != 0o600 {
			t.Errorf("%q, mode %v, %v", c.Name, st.Mode(), err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v left, %v", left, err)
	}
}

// A secret that is changed is in no file any more: the ones before have the present
// one in its place, or none, and all else as it was.
func TestReplaceForgetsSecrets(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mien.yaml")
	const old, now = "S3cretMark-0123456789", "N3wSecret-0123456789"
	files := func() (all string) {
		names, err := filepath.Glob(path + "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			all += string(b)
		}
		return all
	}
	change := func(changes map[string]string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err == nil {
			data, err = Edit(path, data, changes)
		}
		if err == nil {
			err = Replace(path, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// As people write them: in lines and braces, quoted and not, with comments and another system's lines.
	for i, begins := range []string{
		"name: first # ours\nmqtt:\n  broker: mqtt://broker:1883\n  password: " + old + " # the house's\nwebhook: {url: 'https://h/" + old + "', key: " + old + ", events: [track]}\ncamera: {source: 'rtsp://me:" + old + "@cam/1'}\n",
		"name: first\r\nstatus:\r\n  token: \"" + old + "\"\r\n",
		"name: first\nmqtt:\n  broker: mqtt://broker:1883\n  password: >-\n    " + old + "\n",
	} {
		for _, n := range kept(path) {
			os.Remove(numbered(path, n))
		}
		if err := os.WriteFile(path, []byte(begins), 0o640); err != nil {
			t.Fatal(err)
		}
		change(map[string]string{"name": "second"})
		change(map[string]string{"name": "third"})
		first, err := Load(path)
		if err != nil || !strings.Contains(files(), old) {
			t.Fatalf("file %d: %v", i, err)
		}
		changes := map[string]string{}
		for _, name := range first.Secrets() {
			changes[name] = now
		}
		if changes["camera.source"] != "" {
			changes["camera.source"] = "rtsp://me:" + now + "@cam/2"
		}
		if changes["webhook.url"] != "" {
			changes["webhook.url"] = ""
		}
		change(changes)
		if all := files(); strings.Contains(all, old) {
			t.Errorf("file %d: the old secret is still there:\n%s", i, all)
		}
		if i == 2 { // written in a way that only an editor can change: those files are gone
			continue
		}
		present, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"second", "first"} {
			if err := Undo(path); err != nil {
				t.Fatalf("file %d: %v", i, err)
			}
			c, err := Load(path)
			if err != nil || c.Name != name || !c.MQTT.Password.Equal(present.MQTT.Password) || !c.Status.Token.Equal(present.Status.Token) || !c.Camera.Source.Equal(present.Camera.Source) {
				t.Errorf("file %d: undo leads to %q, want %q, with the present secrets (%v)", i, c.Name, name, err)
			}
		}
		if i == 0 && (!strings.Contains(files(), "# the house's") || !strings.Contains(files(), "# ours")) {
			t.Errorf("comments are gone:\n%s", files())
		}
	}
}

// The password of another broker is not sent to the one before by going back to it.
func TestUndoAndAnotherBroker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mien.yaml")
	for _, text := range []string{"mqtt: {broker: 'mqtt://one:1883', password: S3cretMark}\n", "mqtt: {broker: 'mqtt://two:1883', password: N3wSecret}\n"} {
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Undo(path); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.MQTT.Broker.Reveal() != "mqtt://one:1883" || !c.MQTT.Password.IsZero() {
		t.Errorf("%q with %q, %v", c.MQTT.Broker.Reveal(), c.MQTT.Password.Reveal(), err)
	}
}

// A link stays one, and what it points at changes.
func TestReplaceThroughALink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	if err := os.WriteFile(file, []byte("name: a\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := Replace(link, []byte("name: b\n")); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(file); err != nil || c.Name != "b" {
		t.Errorf("%q, %v", c.Name, err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is none any more")
	}
}

// Each fault is told beside the key that somebody typed it into.
func TestFaultsHaveTheirKeys(t *testing.T) {
	for key, value := range map[string]string{"camera.width": "10", "camera.max_rate": "999", "answers.fresh": "1h", "signals.lines": "nonsense: GPIO1", "signals.stall": "5",
		"mqtt.broker": "x", "status.token": "short", "status.listen": ":8080", "heads": "a/b", "leds.colours": "happy: gold", "buzzer.active": "loud", "health.throttle": "maybe", "signals.pins": "real"} {
		data, err := Edit("f", Sample, map[string]string{key: value})
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		_, err = Parse("f", data)
		if all := Faults(err, data); len(all) == 0 || all[0].Key != key && key != "status.listen" {
			t.Errorf("%s: %s: %+v", key, value, all)
		}
	}
}
