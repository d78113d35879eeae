//go:build linux

// Command guest is the first process of the virtual board: it loads the
// drivers and then does what the test on the host asks over the serial line.
// Each request is one line of JSON, and so is each answer, after a mark that
// tells it from what the kernel prints.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mark begins every answer.
const mark = "@@"

// request and answer are what goes over the line; the host has the same.
type request struct {
	Do   string   `json:"do"`
	Args []string `json:"args"`
}

type answer struct {
	Out string `json:"out"`
	Err string `json:"err,omitempty"`
}

func main() {
	g := &guest{programs: map[string]*program{}}
	err := g.boot()
	reply("booted", err)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			fmt.Println("guest: the serial line ended:", err)
			powerOff()
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		var r request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			reply("", fmt.Errorf("request %q: %w", line, err))
			continue
		}
		reply(g.do(r))
	}
}

func reply(out string, err error) {
	a := answer{Out: out}
	if err != nil {
		a.Err = err.Error()
	}
	b, _ := json.Marshal(a) // strings always marshal
	fmt.Printf("\n%s%s\n", mark, b)
}

// guest is the state of the board.
type guest struct {
	programs map[string]*program
	feed     *feeder
}

// boot mounts, makes the serial line raw and loads the drivers that the file
// /modules lists, one a line: path and parameters.
func (g *guest) boot() error {
	for _, m := range []struct{ source, target, kind string }{
		{"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"}, {"dev", "/dev", "devtmpfs"},
		{"tracefs", "/sys/kernel/tracing", "tracefs"}, {"debugfs", "/sys/kernel/debug", "debugfs"},
		{"tmp", "/tmp", "tmpfs"}, {"run", "/run", "tmpfs"},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if t, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		if err := unix.IoctlSetTermios(0, unix.TCSETS, t); err != nil {
			return err
		}
	}
	list, err := os.ReadFile("/modules")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		path, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err := load(path, params); err != nil {
			return fmt.Errorf("load %s %q: %w", path, params, err)
		}
	}
	return nil
}

func load(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func powerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// do carries out one request.
func (g *guest) do(r request) (string, error) {
	need := map[string]int{"feed": 1, "start": 2, "signal": 2, "wait": 2, "log": 1, "memory": 1, "read": 1, "write": 2,
		"grab": 0, "unplug": 0, "plug": 0, "trace": 1, "mount": 3, "poweroff": 0, "panic": 0}
	n, ok := need[r.Do]
	if !ok {
		return "", fmt.Errorf("no command %q", r.Do)
	}
	if len(r.Args) < n {
		return "", fmt.Errorf("%s: %d arguments, want %d", r.Do, len(r.Args), n)
	}
	switch r.Do {
	case "feed":
		return "", g.show(r.Args[0])
	case "grab":
		return grab()
	case "start":
		return g.start(r.Args[0], r.Args[1:])
	case "signal":
		return "", g.signal(r.Args[0], r.Args[1])
	case "wait":
		return g.wait(r.Args[0], r.Args[1])
	case "log":
		return g.log(r.Args[0])
	case "memory":
		return g.memory(r.Args[0])
	case "read":
		b, err := os.ReadFile(r.Args[0])
		return string(b), err
	case "write":
		if err := os.MkdirAll(filepath.Dir(r.Args[0]), 0o755); err != nil {
			return "", err
		}
		return "", os.WriteFile(r.Args[0], []byte(r.Args[1]), 0o644)
	case "unplug":
		g.stopFeed()
		return "", unplug()
	case "plug":
		return "", os.WriteFile("/sys/bus/platform/drivers/vivid/bind", []byte("vivid.0"), 0)
	case "trace":
		return trace(r.Args[0])
	case "mount":
		if err := os.MkdirAll(r.Args[1], 0o755); err != nil {
			return "", err
		}
		return "", unix.Mount(r.Args[0], r.Args[1], r.Args[2], 0, "")
	case "panic":
		panic("asked to")
	}
	time.AfterFunc(100*time.Millisecond, powerOff) // once the answer is out
	return "", nil
}

// trace "start" clears and starts the kernel's trace of GPIO lines; "read"
// returns it, with the number of the first line of each chip before it.
func trace(what string) (string, error) {
	const dir = "/sys/kernel/tracing/"
	if what == "start" {
		if err := os.WriteFile(dir+"trace", nil, 0o644); err != nil {
			return "", err
		}
		return "", os.WriteFile(dir+"events/gpio/enable", []byte("1"), 0o644)
	}
	chips, err := os.ReadFile("/sys/kernel/debug/gpio")
	if err != nil {
		return "", err
	}
	events, err := os.ReadFile(dir + "trace")
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(string(chips)) {
		if strings.HasPrefix(line, "gpiochip") {
			out.WriteString(line)
		}
	}
	for line := range strings.Lines(string(events)) {
		if strings.Contains(line, "gpio_") {
			out.WriteString(line)
		}
	}
	return out.String(), nil
}

// program is a process under test, its output in a file.
type program struct {
	process *os.Process
	done    chan struct{}
	state   *os.ProcessState
	log     string
}

func (g *guest) start(name string, argv []string) (string, error) {
	p := &program{log: "/tmp/" + name + ".log", done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return "", err
	}
	defer out.Close()
	null, err := os.Open("/dev/null")
	if err != nil {
		return "", err
	}
	defer null.Close()
	p.process, err = os.StartProcess(argv[0], argv, &os.ProcAttr{Dir: "/", Files: []*os.File{null, out, out},
		Env: []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "GOTRACEBACK=all"}})
	if err != nil {
		return "", err
	}
	go func() {
		p.state, _ = p.process.Wait()
		close(p.done)
	}()
	g.programs[name] = p
	return strconv.Itoa(p.process.Pid), nil
}

func (g *guest) program(name string) (*program, error) {
	p, ok := g.programs[name]
	if !ok {
		return nil, fmt.Errorf("no program %q was started", name)
	}
	return p, nil
}

func (g *guest) signal(name, number string) error {
	p, err := g.program(name)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	return p.process.Signal(syscall.Signal(n))
}

// wait answers how the program ended, or "running" after so many milliseconds.
func (g *guest) wait(name, ms string) (string, error) {
	p, err := g.program(name)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(ms)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
		return p.state.String(), nil
	case <-time.After(time.Duration(n) * time.Millisecond):
		return "running", nil
	}
}

func (g *guest) log(name string) (string, error) {
	p, err := g.program(name)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(p.log)
	return string(b), err
}

// memory answers the resident memory of a program in KiB.
func (g *guest) memory(name string) (string, error) {
	p, err := g.program(name)
	if err != nil {
		return "", err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.Pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), nil
		}
	}
	return "", fmt.Errorf("%s has no resident memory: it has ended", name)
}
