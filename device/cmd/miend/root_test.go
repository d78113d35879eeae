package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runDropped is another process that gives root up and says what it has then.
func runDropped(name, secret string) int {
	if err := dropRoot(name, newLog(os.Stderr)); err != nil {
		fmt.Println(err)
		return 1
	}
	_, err := os.ReadFile(secret)
	groups, _ := os.Getgroups()
	fmt.Println(os.Geteuid(), os.Getegid(), len(groups), os.IsPermission(err))
	return 0
}

// Started as root, miend goes on as the service's user; what only root may
// read it cannot read any more.
func TestDropRoot(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ root, rest string }{
		"nobody":        {"65534 65534", "going on as the service's user"},
		"no-such-user-": {"0 0", "running as root"},
	} {
		var said bytes.Buffer
		cmd := exec.Command(exe)
		cmd.Env, cmd.Stderr = append(os.Environ(), "MIEND_DROP="+name, "MIEND_SECRET="+secret), &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s%s", name, err, out, &said)
		}
		switch {
		case os.Geteuid() != 0: // nothing to give up, nothing to say
			if want := fmt.Sprint(os.Geteuid(), " ", os.Getegid()); !strings.HasPrefix(string(out), want) || said.Len() > 0 {
				t.Errorf("%s: %s, want %s; it says %q", name, out, want, &said)
			}
		case !strings.HasPrefix(string(out), c.root+" ") || !strings.Contains(said.String(), c.rest):
			t.Errorf("%s: %s, want %s; it says %q", name, out, c.root, &said)
		case name == "nobody" && !strings.Contains(string(out), "true"):
			t.Errorf("%s: root's file can still be read: %s", name, out)
		}
	}
}

// By hand miend has the rights that the unit gives it, no more and no less.
func TestServiceGroups(t *testing.T) {
	unit, err := os.ReadFile("../../../boards/deb/miend.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"User=" + serviceUser, "SupplementaryGroups=" + strings.Join(serviceGroups, " ")} {
		if !strings.Contains(string(unit), "\n"+want+"\n") {
			t.Errorf("the unit does not say %s", want)
		}
	}
}

// TestMain lets the test's own program be the process that gives root up, and miend.
func TestMain(m *testing.M) {
	if os.Getenv("MIEND_ITSELF") != "" {
		main()
		os.Exit(0)
	}
	if name := os.Getenv("MIEND_DROP"); name != "" {
		os.Exit(runDropped(name, os.Getenv("MIEND_SECRET")))
	}
	os.Exit(m.Run())
}
