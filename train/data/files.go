package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func join(dir, name string) string { return filepath.Join(dir, name) }

// images lists the image files in a folder; hidden files and other kinds are
// left out.
func images(dir string) ([]string, error) {
	all, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		if !e.IsDir() && e.Name()[0] != '.' && slices.Contains([]string{".jpg", ".jpeg", ".png"}, ext) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// folders lists the folders in a folder, without hidden ones.
func folders(dir string) ([]string, error) {
	all, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		info, err := os.Stat(filepath.Join(dir, e.Name())) // follows links
		if err == nil && info.IsDir() && e.Name()[0] != '.' {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func readDir(dir string) ([]os.DirEntry, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", dir)
	}
	return os.ReadDir(dir)
}
