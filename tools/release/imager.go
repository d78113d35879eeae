package main

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"mien/boards"
	"mien/boards/image"
)

// icon is the file that the list shows beside each image.
const icon = "icon.svg"

// entry is an image as Raspberry Pi Imager lists it: doc/json-schema of
// github.com/raspberrypi/rpi-imager, version 4 of the list. There is no init_format:
// nothing on the card reads the settings that Imager asks for then.
type entry struct {
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	Icon           string   `json:"icon"`
	URL            string   `json:"url"`
	ExtractSize    int64    `json:"extract_size"`
	ExtractSHA256  string   `json:"extract_sha256"`
	DownloadSize   int64    `json:"image_download_size"`
	DownloadSHA256 string   `json:"image_download_sha256"`
	ReleaseDate    string   `json:"release_date"`
	Devices        []string `json:"devices"`
}

// imagerList describes the images of all boards for Raspberry Pi Imager.
func (r *release) imagerList(at string) error {
	list := struct {
		Entries []entry `json:"os_list"`
	}{}
	for _, name := range r.boards {
		b, err := boards.ByName(name)
		if err != nil {
			return err
		}
		file := r.file(name + ".img.gz")
		e := entry{Name: "mien for " + b.Title, Description: "Reads faces from a USB or network camera and moves pins. Ethernet; set up at http://mien.local/",
			Icon: r.url + icon, URL: r.url + file, ReleaseDate: r.when.Format("2006-01-02"), Devices: []string{image.Imager(name)}}
		packed := filepath.Join(r.out, file)
		if e.DownloadSize, e.DownloadSHA256, err = digest(packed); err != nil {
			return err
		}
		if e.ExtractSize, e.ExtractSHA256, err = digestUnpacked(packed); err != nil {
			return err
		}
		list.Entries = append(list.Entries, e)
	}
	picture, err := os.ReadFile(filepath.Join(r.root, "device/page/web/icon.svg"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, icon), picture, 0o644); err != nil {
		return err
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(at, append(text, '\n'), 0o644)
}

// digestUnpacked is digest of what is packed in a file.
func digestUnpacked(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	size, err = io.Copy(h, z)
	return size, hex.EncodeToString(h.Sum(nil)), err
}
