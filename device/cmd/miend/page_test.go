package main

import (
	"os"
	"testing"

	"mien/device/config"
)

// Home Assistant links to the page only where it can be reached.
func TestPageFor(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]string{"none": "", "127.0.0.1:8080": "", "localhost:80": "", "[::1]:80": "",
		":8080": "http://" + host + ":8080", "0.0.0.0:80": "http://" + host + ":80", "192.168.1.7:8080": "http://192.168.1.7:8080",
		"[fe80::1]:80": "http://[fe80::1]:80", "hall.local:80": "http://hall.local:80"} {
		if got := pageFor(config.Status{Listen: listen}); got != want {
			t.Errorf("%s: %q, want %q", listen, got, want)
		}
	}
	if got := pageFor(config.Status{Listen: ":80", Hosts: []string{"hall.example"}}); got != "http://hall.example:80" {
		t.Errorf("with hosts: %q", got)
	}
}
