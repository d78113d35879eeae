package httpmjpeg

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"mien/camera"
)

// memoryLimit is what a process may take that looks at a hostile camera.
const memoryLimit = 64 << 20

// victim makes this test's own program look at the camera at an address; patient
// makes it go on until a picture has come.
const (
	victim  = "MIEN_TEST_HOSTILE_CAMERA"
	patient = "MIEN_TEST_HOSTILE_PICTURE"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(victim); address != "" {
		look(address, os.Getenv(patient) != "")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// look opens a camera again and again for a second, as a supervisor does, and
// prints the most memory that was taken meanwhile.
func look(address string, picture bool) {
	debug.SetMemoryLimit(memoryLimit)
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	begun := time.Now()
	done := func(n int) bool { return time.Since(begun) > time.Second && (n > 3 || !picture) }
	if !picture {
		time.AfterFunc(time.Second, cancel)
	}
	most := make(chan uint64)
	go func() {
		var peak uint64
		var m runtime.MemStats
		for ctx.Err() == nil {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.Sys-m.HeapReleased)
			time.Sleep(5 * time.Millisecond)
		}
		most <- peak
	}()
	// Three frames are in use at a time: the camera's, the newest, that which is
	// being looked at.
	var frames [3]camera.Frame
	n := 0
	for ctx.Err() == nil {
		s, err := Open(ctx, Options{URL: address, Timeout: 5 * time.Second})
		if err != nil {
			continue
		}
		for err == nil && ctx.Err() == nil {
			if done(n) {
				cancel()
			}
			if err = s.Next(ctx, &frames[n%3]); err == nil {
				n++
			}
		}
		s.Close()
	}
	fmt.Println(<-most, n)
}

// endlessly writes head once, then tail until nobody reads any more.
func endlessly(head string, tail []byte) func(net.Conn) {
	return func(c net.Conn) {
		w := bufio.NewWriterSize(c, 1<<20)
		_, err := w.WriteString(head)
		for err == nil {
			_, err = w.Write(tail)
		}
	}
}

// A camera may send what it likes for as long as it likes: looking at it takes
// no more memory than a small board has.
func TestHostileCameras(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
	file := string(still1(t))
	scan := file[:strings.Index(file, "\xff\xda")+14]
	app := append([]byte{0xff, 0xe5, 0xff, 0xfd}, make([]byte, 0xfffb)...)
	// A picture of 4096x2160 pixels in a few bytes, all of them grey.
	huge := []byte(strings.Replace(file, "\x00\x40\x00\x60", "\x08\x70\x10\x00", 1))
	sos := bytes.Index(huge, []byte{0xff, 0xda})
	flat := append(bytes.Clone(huge[:sos+10]), bytes.Repeat([]byte{0x28, 0xa2, 0x8a}, 4096*2160/64/2)...)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 64 {
		if _, err := z.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	growing := func(c net.Conn) {
		_, err := io.WriteString(c, ok)
		for h := 64; err == nil; h = (h + 16) % 2160 {
			p := strings.Replace(file, "\x00\x40\x00\x60", string([]byte{byte(h >> 8), byte(h), 0x10, 0}), 1)
			_, err = io.WriteString(c, p[:sos+10]+strings.Repeat("\x28\xa2\x8a", 4096*h/64/2))
		}
	}
	for name, serve := range map[string]func(net.Conn){
		"segments":          endlessly(ok+file[:20], app),
		"restart markers":   endlessly(ok+scan, []byte{0xff, 0xd0}),
		"restarts in front": endlessly(ok+file[:20], []byte{0xff, 0xd0}),
		"padding":           endlessly(ok+file[:20], make([]byte, 1<<12)),
		"pixels":            endlessly(ok+scan, bytes.Repeat([]byte{0x55}, 1<<12)),
		"no picture":        endlessly(ok, []byte("hello ")),
		"boundaries":        endlessly(ok, []byte("--frame\r\n")),
		"huge pictures":     endlessly(ok, flat),
		"growing pictures":  growing,
		"starts":            endlessly(ok, []byte{0xff, 0xd8, 0xff}),
		"head":              endlessly("HTTP/1.1 200 OK\r\n", []byte("X-Header: hello\r\n")),
		"one header":        endlessly("HTTP/1.1 200 OK\r\nX: ", []byte("hello")),
		"status":            endlessly("HTTP/1.1 200 ", []byte("hello")),
		"continue":          endlessly("", []byte("HTTP/1.1 100 Continue\r\n\r\n")),
		"early hints":       endlessly("", []byte("HTTP/1.1 103 Early Hints\r\nX: hello\r\n\r\n")),
		"chunk extension":   endlessly("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", []byte("hello")),
		"snapshot":          endlessly("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n"+scan, []byte{0x55}),
		"web page":          endlessly("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", []byte("<p>")),
		"bomb":              endlessly("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: image/jpeg\r\n\r\n", bomb.Bytes()),
		"redirects":         endlessly("HTTP/1.1 302 Found\r\nLocation: /"+strings.Repeat("x", 30000)+"\r\n\r\n", nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, exe)
			cmd.Env = append(os.Environ(), victim+"="+raw(t, serve))
			pictures := name == "huge pictures" || name == "growing pictures"
			if pictures {
				cmd.Env = append(cmd.Env, patient+"=1")
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			said := strings.Fields(string(out))
			if len(said) != 2 {
				t.Fatalf("%s", out)
			}
			peak, err := strconv.ParseUint(said[0], 10, 64)
			if err != nil || peak > memoryLimit {
				t.Errorf("took %d MiB: %v", peak>>20, err)
			}
			t.Logf("%d MiB, %s pictures", peak>>20, said[1])
			if pictures && said[1] == "0" {
				t.Error("no picture came: this shows nothing")
			}
		})
	}
}
