package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The list says of each image what Imager checks before and after it writes it.
func TestImagerList(t *testing.T) {
	r := made(t, newKey(t))
	text, err := os.ReadFile(filepath.Join(r.out, "os_list.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Entries []map[string]any `json:"os_list"`
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list.Entries) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	e := list.Entries[0]
	// What the schema requires.
	for _, key := range []string{"name", "description", "icon", "url", "extract_size", "extract_sha256", "image_download_size", "image_download_sha256", "release_date", "devices"} {
		if e[key] == nil || e[key] == "" {
			t.Errorf("the list says no %s: %s", key, text)
		}
	}
	plain := bytes.Repeat([]byte("card of rpi4\n"), 1000)
	sum := sha256.Sum256(plain)
	size, packed, err := digest(filepath.Join(r.out, r.file("rpi4.img.gz")))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"name": "mien for Raspberry Pi 4 Model B", "url": "https://example.org/mien/mien_0.2.0_rpi4.img.gz",
		"extract_size": float64(len(plain)), "extract_sha256": hex.EncodeToString(sum[:]),
		"image_download_size": float64(size), "image_download_sha256": packed, "release_date": today.Format(time.DateOnly)} {
		if e[key] != want {
			t.Errorf("%s is %v, want %v", key, e[key], want)
		}
	}
	if devices, _ := e["devices"].([]any); !slices.Equal(devices, []any{"pi4-64bit"}) {
		t.Errorf("devices %v", e["devices"])
	}
	if _, err := os.Stat(filepath.Join(r.out, icon)); err != nil {
		t.Error(err)
	}
}
