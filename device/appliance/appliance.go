// Package appliance is what miend knows of the system below it where that is the
// card image of boards/image: the first process (package system), which keeps
// miend running as a user of its own, and answers through a socket. System.Update is
// the one way in for an update of the whole image, however it came to the board.
package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mien/boards/card"
	"mien/device/update"
	"mien/runtime/atomicfile"
)

// Socket is where the first process answers.
const Socket = "/run/mien/init"

// Incoming is the folder in which an update is put down before it is offered.
const Incoming = "/data/mien"

// Waiting is the name of an image there that was received whole, as the signature
// beside it says, and not offered yet: the next start takes it.
const (
	Waiting = "update.img"
	Signed  = ".minisig"
)

// Note is what a page says of a board that runs the image.
const Note = "This board runs the mien image: it is for USB and network cameras, and for Ethernet. The ribbon (CSI) camera, ffmpeg (RTSP) and Wi-Fi are not in it; for these take Raspberry Pi OS and the package."

// System is the first process, and where an update is put down for it.
type System struct {
	Socket, Incoming string

	receiving sync.Mutex
}

// Below is the one of this board.
var Below = &System{Socket: Socket, Incoming: Incoming}

// ErrBusy says that an update is being received already: there is room for one.
var ErrBusy = errors.New("another image is being received: wait until it is written, or has been refused")

// Here says whether this machine runs the image.
func (s *System) Here() bool {
	_, err := os.Stat(s.Socket)
	return err == nil
}

// Request is what miend asks.
type Request struct {
	Do        string `json:"do"` // log, state or update
	Path      string `json:"path,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}

// Answer is what it is told.
type Answer struct {
	Error string `json:"error,omitempty"`
	Log   string `json:"log,omitempty"`
	State *State `json:"state,omitempty"`
}

// State is what the board remembers of its images.
type State struct {
	Name    string        `json:"name"` // of the image that runs
	Slot    string        `json:"slot"`
	OnTrial bool          `json:"on_trial"`          // it has not been confirmed yet
	Newest  uint64        `json:"newest,omitempty"`  // the highest version that was taken
	Trial   *Trial        `json:"trial,omitempty"`   // of the image in the other slot, or of this one
	Fallen  []update.Fall `json:"fallen,omitempty"`  // the last that gave way, newest last
	Problem string        `json:"problem,omitempty"` // why updates cannot be taken
}

// Trial is an image that was written and has not proven itself.
type Trial struct {
	Name    string    `json:"name"`
	Version uint64    `json:"version"`
	Slot    card.Slot `json:"slot"`
	SHA256  string    `json:"sha256"`
	Starts  int       `json:"starts"`
	// What worked before: an image has to do as much.
	Network bool `json:"network"`
	Reading bool `json:"reading"`
}

// Update receives an image and hands it to the first process, with its signature in
// minisign's format. It returns nil once the other slot holds it; the board restarts
// into it a moment later. An image that is not signed by a known key, is older than one
// that was there, or is for another board is refused, and nothing is changed; what goes
// wrong while the other slot is written, which the error says, leaves that one without a
// system, and the one that runs as it is. The image lies on the data partition until it is
// taken; when the power goes meanwhile the next start takes it.
func (s *System) Update(ctx context.Context, image io.Reader, signature []byte) (err error) {
	if !s.receiving.TryLock() {
		return ErrBusy
	}
	defer s.receiving.Unlock()
	path := filepath.Join(s.Incoming, Waiting)
	clear := func() { // the signature first: an image without one waits for nothing
		os.Remove(path + Signed)
		os.Remove(path)
	}
	clear()
	defer func() {
		if err != nil {
			clear()
		}
	}()
	if err := atomicfile.Replace(path, func(w io.Writer) error {
		_, err := io.Copy(w, image)
		return err
	}); err != nil {
		return fmt.Errorf("receiving the image: %w", err)
	}
	if err := atomicfile.Write(path+Signed, signature); err != nil {
		return err
	}
	if _, err := s.ask(ctx, Request{Do: "update", Path: path, Signature: signature}); err != nil {
		return err
	}
	return errors.Join(os.Remove(path+Signed), os.Remove(path))
}

// Log is what the first process and miend have said lately.
func (s *System) Log(ctx context.Context) (string, error) {
	a, err := s.ask(ctx, Request{Do: "log"})
	return a.Log, err
}

// Now says which image runs, and how updates went.
func (s *System) Now(ctx context.Context) (State, error) {
	a, err := s.ask(ctx, Request{Do: "state"})
	if err != nil || a.State == nil {
		return State{}, errors.Join(err, errors.New("appliance: no state"))
	}
	return *a.State, nil
}

func (s *System) ask(ctx context.Context, r Request) (a Answer, err error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", s.Socket)
	if err != nil {
		return a, fmt.Errorf("appliance: this board does not run the mien image: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return a, fmt.Errorf("appliance: %w", err)
	}
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return a, errors.Join(ctx.Err(), fmt.Errorf("appliance: %w", err))
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}
