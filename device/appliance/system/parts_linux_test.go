package system

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mien/device/appliance"
)

// What the kernel tells of devices, as lib/kobject_uevent.c writes it.
func TestAdded(t *testing.T) {
	for event, want := range map[string]string{
		"add@/devices/x\x00ACTION=add\x00DEVPATH=/devices/x\x00SUBSYSTEM=video4linux\x00DEVNAME=video0\x00SEQNUM=7\x00": "video0",
		"remove@/devices/x\x00ACTION=remove\x00DEVNAME=video0\x00":                                                      "",
		"add@/devices/x\x00ACTION=add\x00SUBSYSTEM=usb\x00":                                                             "",
		"": "",
	} {
		if got, ok := added([]byte(event)); (want != "") != ok || ok && got != want {
			t.Errorf("%q: %q, %v", event, got, ok)
		}
	}
}

// The log keeps the newest lines within its bound, and cuts what is too long.
func TestLogIsBounded(t *testing.T) {
	l := &log{kernel: io.Discard}
	l.say("first")
	for range 10000 {
		l.add("miend", strings.Repeat("x", 100))
	}
	l.add("miend", strings.Repeat("y", 5*mostLine)+"end")
	l.say("last")
	text := l.text()
	if len(text) > mostLog || len(text) < mostLog/2 {
		t.Errorf("%d bytes are kept", len(text))
	}
	if strings.Contains(text, "first") || !strings.HasSuffix(text, "init: last\n") || strings.Contains(text, "end\n") {
		t.Error("not the newest lines, or a long one as a whole")
	}
}

// What a program writes is taken line by line, a long one in pieces, to the end.
func TestListen(t *testing.T) {
	l := &log{kernel: io.Discard}
	l.listen("miend", io.NopCloser(strings.NewReader("one\r\n\n"+strings.Repeat("z", mostLine+10)+"\nlast without an end")))
	var said []string
	for _, line := range l.lines {
		_, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "miend: ")
		said = append(said, text)
	}
	if want := []string{"one", strings.Repeat("z", mostLine), strings.Repeat("z", 10), "last without an end"}; !cmp.Equal(said, want) {
		t.Error(cmp.Diff(said, want))
	}
}

// The first process may write anywhere, miend may not: a link that miend has left
// does not lead the one's writing and owning to where the other could not.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	victim, link := filepath.Join(dir, "card"), filepath.Join(dir, "mien.yaml.taken")
	if err := errors.Join(os.WriteFile(victim, []byte("whole"), 0o600), os.Symlink(victim, link)); err != nil {
		t.Fatal(err)
	}
	if err := writeFor(link, []byte("new")); err != nil && !errors.Is(err, os.ErrPermission) { // only root gives files away
		t.Fatal(err)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "whole" {
		t.Errorf("the link was followed: %q, %v", b, err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode() != 0o640 {
		t.Errorf("in its place: %v, %v", st, err)
	}
}

// What is remembered of updates is read again, and what is no state is an error
// and not an empty one, which would forget the newest version.
func TestStateFile(t *testing.T) {
	f := stateFile(t.TempDir() + "/state.json")
	if s, err := f.load(); err != nil || s.Newest != 0 {
		t.Errorf("none: %+v, %v", s, err)
	}
	want := appliance.State{Newest: 7, Trial: &appliance.Trial{Name: "v2", Version: 7, Slot: 1, Starts: 1}}
	if err := f.save(want); err != nil {
		t.Fatal(err)
	}
	if got, err := f.load(); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %s", err, cmp.Diff(got, want))
	}
}
