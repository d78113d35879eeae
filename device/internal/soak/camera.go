package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"net"
	"net/http"
	"sync"
	"time"

	"mien/camera/replay/portrait"
)

// faults are what the camera does wrong; each lasts a few seconds, or until
// the device has come back.
var faults = []string{"stall", "hang up", "cut", "garbage", "refuse", "page", "slow", "empty"}

// cam is a network camera that can be told to fail.
type cam struct {
	addr string
	l    net.Listener
	face []byte
	room []byte

	mu     sync.Mutex
	fault  string
	until  time.Time
	there  bool
	failed int
}

func newCam() *cam {
	var b bytes.Buffer
	grey := image.NewGray(image.Rect(0, 0, 320, 240))
	for i := range grey.Pix {
		grey.Pix[i] = byte(90 + i%320/16)
	}
	_ = jpeg.Encode(&b, grey, nil) // a buffer takes everything
	return &cam{face: portrait.JPEG(), room: b.Bytes(), there: true}
}

func (c *cam) listen() (err error) {
	if c.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	c.addr = c.l.Addr().String()
	go func() { _ = http.Serve(c.l, c) }() // ends with its listener
	return nil
}

func (c *cam) close() error {
	if c.l == nil {
		return nil
	}
	return c.l.Close()
}

func (c *cam) fail(how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault, c.until = how, time.Now().Add(4*time.Second); how != "" {
		c.failed++
	}
}

func (c *cam) look(there bool) {
	c.mu.Lock()
	c.there = there
	c.mu.Unlock()
}

func (c *cam) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *cam) now() (fault string, picture []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().After(c.until) {
		c.fault = ""
	}
	if c.there {
		return c.fault, c.face
	}
	return c.fault, c.room
}

// ServeHTTP is the stream.
func (c *cam) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch fault, _ := c.now(); fault {
	case "refuse":
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	case "page":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>log in</html>")
		return
	}
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	ctl := http.NewResponseController(w)
	for r.Context().Err() == nil {
		fault, picture := c.now()
		switch fault {
		case "stall":
			time.Sleep(100 * time.Millisecond)
			continue
		case "slow":
			time.Sleep(700 * time.Millisecond)
		case "hang up", "refuse", "page":
			return
		case "cut":
			picture = picture[:len(picture)/2]
		case "garbage":
			picture = bytes.Repeat([]byte{0xff, 0xd8, 0x00, 0x55}, 500)
		case "empty":
			picture = nil
		}
		fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", len(picture))
		_, _ = w.Write(picture)
		if _, err := fmt.Fprint(w, "\r\n"); err != nil || ctl.Flush() != nil {
			return
		}
		time.Sleep(66 * time.Millisecond)
	}
}
