package system

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mien/device/appliance"
	"mien/device/update"
)

// serve answers miend, and nobody else: the socket is for its user.
func (s *system) serve() error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: appliance.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chown(appliance.Socket, 0, mienID), os.Chmod(appliance.Socket, 0o660)); err != nil {
		return err
	}
	go s.listen(l)
	return nil
}

// listen answers all that come, until l is closed.
func (s *system) listen(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.say("socket: %v", err)
			time.Sleep(time.Second)
			continue
		}
		go s.answer(c)
	}
}

func (s *system) answer(c net.Conn) {
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var r appliance.Request
	if err := json.NewDecoder(io.LimitReader(c, 64<<10)).Decode(&r); err != nil {
		return
	}
	var a appliance.Answer
	switch r.Do {
	case "log":
		a.Log = s.log.text()
	case "state":
		a.State = s.state()
	case "update":
		if err := s.take(r); err != nil {
			s.log.say("update refused: %v", err)
			a.Error = err.Error()
		}
	default:
		a.Error = fmt.Sprintf("appliance: no request %.20q", r.Do)
	}
	_ = json.NewEncoder(c).Encode(a) // who asked may be gone
	if r.Do == "update" && a.Error == "" {
		s.orders <- order{why: "an update is tried", other: true, how: unix.LINUX_REBOOT_CMD_RESTART}
	}
}

func (s *system) state() *appliance.State {
	st := appliance.State{Name: s.image, Problem: s.problem}
	if s.updates != nil && s.problem == "" {
		kept, err := s.updates.memory.load()
		if err != nil {
			st.Problem = err.Error()
		}
		kept.Name, kept.Problem = st.Name, st.Problem
		st = kept
		st.Slot = s.updates.runs.String()
		st.OnTrial = st.Trial != nil && st.Trial.Slot == s.updates.runs
	}
	return &st
}

var updating sync.Mutex

// take takes an update, one at a time.
func (s *system) take(r appliance.Request) error {
	if !updating.TryLock() {
		return errors.New("appliance: another update is being written")
	}
	defer updating.Unlock()
	if s.problem != "" || s.updates == nil {
		return fmt.Errorf("appliance: updates cannot be taken: %s", s.problem)
	}
	fd, err := unix.Open(r.Path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("appliance: %s: %w", r.Path, err)
	}
	f := os.NewFile(uintptr(fd), r.Path)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("appliance: %s is no plain file", r.Path)
	}
	keys, bad := update.Keys(s.keys)
	for _, err := range bad {
		s.log.say("%v", err)
	}
	_, reading := s.firmware.state()
	return s.updates.take(f, info.Size(), r.Signature, keys, s.net.up(), reading)
}
