package system

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mien/device/appliance"
)

// reaper waits for every process that ends: the first process inherits those
// whose parents are gone.
type reaper struct {
	mu    sync.Mutex
	ended map[int]chan syscall.WaitStatus
}

func newReaper() *reaper {
	r := &reaper{ended: map[int]chan syscall.WaitStatus{}}
	go func() {
		for {
			var st syscall.WaitStatus
			// Wait for one without taking it, so that none is taken before start has noted it.
			if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
				time.Sleep(100 * time.Millisecond) // there are none
				continue
			}
			r.mu.Lock()
			pid, err := syscall.Wait4(-1, &st, syscall.WNOHANG, nil)
			if c := r.ended[pid]; err == nil && c != nil {
				c <- st
				delete(r.ended, pid)
			}
			r.mu.Unlock()
		}
	}()
	return r
}

// start begins a process and returns where its end is told.
func (r *reaper) start(argv []string, a *syscall.ProcAttr) (pid int, ended <-chan syscall.WaitStatus, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pid, err = syscall.ForkExec(argv[0], argv, a); err != nil {
		return 0, nil, err
	}
	c := make(chan syscall.WaitStatus, 1)
	r.ended[pid] = c
	return pid, c, nil
}

// What miend is held to, as systemd does with the package's unit: it tells when
// it is ready, and then feeds its watchdog.
const (
	startWithin = 60 * time.Second
	feedWithin  = 30 * time.Second
	stopWithin  = 10 * time.Second
	restartWait = 2 * time.Second
)

// service keeps miend running.
type service struct {
	reaper *reaper
	log    *log
	notify *net.UnixConn

	mu      sync.Mutex
	pid     int
	ready   bool
	reading bool
	fed     time.Time
	ending  bool
	gone    chan struct{} // closed when run has ended
}

func newService(r *reaper, l *log) *service {
	s := &service{reaper: r, log: l, gone: make(chan struct{})}
	const path = "/run/mien/notify"
	var err error
	if s.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err == nil {
		err = os.Chown(path, mienID, mienID)
	}
	l.try("notify", err)
	if s.notify != nil {
		go s.hear()
	}
	return s
}

// hear takes what miend tells (sd_notify(3)).
func (s *service) hear() {
	b := make([]byte, 4096)
	for {
		n, err := s.notify.Read(b)
		if err != nil {
			s.log.say("notify: %v", err)
			return
		}
		s.mu.Lock()
		for line := range strings.Lines(string(b[:n])) {
			switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
			case "READY":
				s.ready, s.fed = true, time.Now()
				up := strings.Fields(content("/proc/uptime"))
				s.log.say("miend is ready, %s s after the start", up[0])
			case "WATCHDOG":
				s.fed = time.Now()
			case "X_READING":
				s.reading = value == "1"
			}
		}
		s.mu.Unlock()
	}
}

// state says whether miend runs and feeds its watchdog, and whether it reads.
func (s *service) state() (alive, reading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid != 0 && s.ready && time.Since(s.fed) < feedWithin, s.reading
}

// run starts miend, again and again, until stop.
func (s *service) run() {
	defer close(s.gone)
	for {
		why := s.once()
		s.mu.Lock()
		ending := s.ending
		s.mu.Unlock()
		if ending {
			return
		}
		s.log.say("miend has ended (%s); it starts again in %v", why, restartWait)
		time.Sleep(restartWait)
	}
}

// once runs miend until it ends, and says how.
func (s *service) once() string {
	r, w, err := os.Pipe()
	if err != nil {
		return err.Error()
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err.Error()
	}
	defer null.Close()
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return "not started"
	}
	var ended <-chan syscall.WaitStatus
	s.pid, ended, err = s.reaper.start([]string{miend, "run", "--config", config, "--setup", ":80"}, &syscall.ProcAttr{
		Dir: appliance.Incoming, Files: []uintptr{null.Fd(), w.Fd(), w.Fd()},
		Env: []string{"PATH=/usr/bin", "HOME=" + appliance.Incoming, "NOTIFY_SOCKET=/run/mien/notify", fmt.Sprintf("WATCHDOG_USEC=%d", feedWithin.Microseconds()),
			"JOURNAL_STREAM=0:0"}, // its lines get their time here
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: mienID, Gid: mienID, Groups: []uint32{videoID, gpioID, i2cID, spiID}}},
	})
	s.ready, s.reading, s.fed = false, false, time.Now()
	s.mu.Unlock()
	w.Close()
	if err != nil {
		r.Close()
		return err.Error()
	}
	go s.log.listen("miend", r)
	status := s.guard(ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = syscall.Kill(-s.pid, syscall.SIGKILL) // what it has left behind
	s.pid, s.ready, s.reading = 0, false, false
	if status.Signaled() {
		return status.Signal().String()
	}
	return fmt.Sprintf("status %d", status.ExitStatus())
}

// guard waits for miend's end, and brings it about when miend hangs.
func (s *service) guard(ended <-chan syscall.WaitStatus) syscall.WaitStatus {
	for {
		select {
		case st := <-ended:
			return st
		case <-time.After(time.Second):
		}
		s.mu.Lock()
		pid, limit := s.pid, startWithin
		if s.ready {
			limit = feedWithin
		}
		hungry := time.Since(s.fed) > limit
		s.mu.Unlock()
		if hungry {
			s.log.say("miend hangs: nothing was heard of it for %v", limit)
			return s.kill(pid, ended)
		}
	}
}

// kill asks miend to end, and then makes it.
func (s *service) kill(pid int, ended <-chan syscall.WaitStatus) syscall.WaitStatus {
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case st := <-ended:
		return st
	case <-time.After(stopWithin):
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	return <-ended
}

// stop ends miend for good and waits for it.
func (s *service) stop() {
	s.mu.Lock()
	s.ending = true
	pid := s.pid
	s.mu.Unlock()
	if pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	select {
	case <-s.gone:
	case <-time.After(stopWithin):
		if pid != 0 {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
}

// synchronised says whether the time is known.
var synchronised atomic.Bool
