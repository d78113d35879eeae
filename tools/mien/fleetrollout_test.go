package main

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"mien/tools/fleet"
)

// What cannot be rolled out is refused by name, with nothing begun; what can is begun,
// listed, and ended.
func TestFleetRollout(t *testing.T) {
	hub, _, _ := workHub(t)
	args := func(more ...string) []string { return append([]string{"fleet", "rollout", "--hub", hub}, more...) }
	if out := mustMien(t, args()...); !strings.HasPrefix(out, "ROLL-OUT  STATE") || strings.Count(out, "\n") != 1 {
		t.Errorf("with none it lists\n%s", out)
	}
	file := filepath.Join(t.TempDir(), "face.tflite")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "a model")
	refused(t, []string{"root's rights", "apt"}, args("mien_1_arm64.deb")...)
	refused(t, []string{"no model", "no image"}, args("face.onnx")...)
	refused(t, []string{"face.tflite.minisig", "minisign -Sm"}, args(file)...)
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	write(file+".minisig", string(minisign.SignWithComments(key, []byte("a model"), "version:7", "")))
	refused(t, []string{"no board"}, args(file)...)
	mustMien(t, "fleet", "enrol", "hall/door", "--hub", hub, "--out", t.TempDir())
	refused(t, []string{"no board", "kiosk"}, args(file, "--tag", "kiosk")...)
	refused(t, []string{"letters, digits"}, args(file, "--site", "a.b")...)

	h, err := fleet.OpenHome(hub)
	if err != nil {
		t.Fatal(err)
	}
	nc, js, err := h.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	name, err := h.Begin(t.Context(), js, fleet.RolloutOptions{File: file, Stages: "100%", By: "me"})
	if err != nil {
		t.Fatal(err)
	}
	if out := mustMien(t, args()...); !strings.Contains(out, name+"   running  face.tflite") {
		t.Errorf("it lists\n%s", out)
	}
	var r fleet.Rollout
	out := mustMien(t, "fleet", "rollback", name, "--hub", hub, "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.State != fleet.Halted || r.Progress.Away != 1 {
		t.Errorf("%v: %s", err, out)
	}
	refused(t, []string{"no such roll-out", "model-9"}, "fleet", "rollback", "model-9", "--hub", hub)
}
