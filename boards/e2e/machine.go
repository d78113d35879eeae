// Package e2e boots a Raspberry Pi 3B that QEMU emulates, with Debian's own
// arm64 kernel, runs programs on it unmodified, feeds its camera with frames
// of our choosing and reads the levels of its pins from outside, where no
// program on the board can tamper with them.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options of a machine.
type Options struct {
	Parts string          // where parts.sh put the kernel
	Guest []byte          // the program of package guest, for arm64
	Files map[string]File // beside it, by absolute path
	Disk  string          // image of an SD card, or none
	Dir   string          // for the machine's own files
	// Patience is how long one answer may take. Emulation is slow and the host
	// may be busy, so this only ends a run that hangs; 0 means five minutes.
	Patience time.Duration
}

// Machine is a board that runs.
type Machine struct {
	qemu     *exec.Cmd
	in       io.Writer
	answers  chan answer
	monitor  net.Conn
	reader   *bufio.Reader
	bus      net.Conn // QEMU's qtest, which writes where the processor would
	busReply *bufio.Reader
	patience time.Duration

	mu      sync.Mutex
	console bytes.Buffer

	ended chan struct{}
	err   error // of QEMU, once ended
}

type request struct {
	Do   string   `json:"do"`
	Args []string `json:"args"`
}

type answer struct {
	Out string `json:"out"`
	Err string `json:"err,omitempty"`
}

const mark = "@@"

// ErrEnded is what Do returns when the board stops before it answers.
var ErrEnded = errors.New("e2e: the board has stopped")

// Boot starts the board and waits until its drivers are loaded.
func Boot(o Options) (*Machine, error) {
	files := map[string]File{"/init": {o.Guest, 0o755}}
	for path, f := range o.Files {
		files[path] = f
	}
	if err := modules(o.Parts, files); err != nil {
		return nil, err
	}
	initrd, err := initramfs(files)
	if err != nil {
		return nil, err
	}
	initrdPath, dtb := filepath.Join(o.Dir, "initrd.gz"), filepath.Join(o.Dir, "pi3.dtb")
	if err := os.WriteFile(initrdPath, initrd, 0o644); err != nil {
		return nil, err
	}
	if err := deviceTree(o.Parts, dtb); err != nil {
		return nil, err
	}
	kernels, err := filepath.Glob(filepath.Join(o.Parts, "boot/vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return nil, fmt.Errorf("e2e: kernels under %s: %v, %v; want one", o.Parts, kernels, err)
	}
	m := &Machine{answers: make(chan answer, 1), ended: make(chan struct{}), patience: o.Patience}
	if m.patience == 0 {
		m.patience = 5 * time.Minute
	}
	if err := m.start(o, kernels[0], dtb, initrdPath); err != nil {
		return nil, err
	}
	if _, err := m.answer(); err != nil {
		m.Kill()
		return nil, fmt.Errorf("e2e: boot: %w; console:\n%s", err, m.Console())
	}
	return m, nil
}

func (m *Machine) start(o Options, kernel, dtb, initrd string) error {
	args := []string{"-serial", "null", "-serial", "stdio", // the console is the second port
		"-kernel", kernel, "-dtb", dtb, "-initrd", initrd,
		"-append", "console=ttyS1,115200 panic=-1 quiet loglevel=1"}
	if o.Disk != "" {
		args = append(args, "-drive", "if=sd,format=raw,cache=writethrough,file="+o.Disk)
	}
	return m.launch(clock, args)
}

// A board's time is counted in instructions, 2 to the power of shift nanoseconds
// each, so that on a busy host its timers are as slow as its programs. At 125
// million a second it is about as fast as QEMU is on an idle host.
const (
	clock     = "shift=3,sleep=off"
	fastClock = "shift=1,sleep=off" // 500 million a second: what the start of a board is measured by
)

// launch starts QEMU with what every board has, a clock, and args.
func (m *Machine) launch(icount string, args []string) error {
	if _, err := exec.LookPath("qemu-system-aarch64"); err != nil {
		return errors.New("e2e: qemu-system-aarch64 is missing: apt-get install qemu-system-arm")
	}
	// A socket's path may have 107 bytes only, so it is in a folder of its own.
	dir, err := os.MkdirTemp("", "mien-e2e")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	socket, bus := filepath.Join(dir, "monitor"), filepath.Join(dir, "bus")
	args = append([]string{"-M", "raspi3b", "-accel", "tcg,thread=single", "-icount", icount, "-display", "none",
		"-monitor", "unix:" + socket + ",server,nowait", "-no-reboot",
		"-qtest", "unix:" + bus + ",server,nowait", "-qtest-log", "none"}, args...)
	m.qemu = exec.Command("qemu-system-aarch64", args...)
	in, err := m.qemu.StdinPipe()
	if err != nil {
		return err
	}
	m.in = in
	out, err := m.qemu.StdoutPipe()
	if err != nil {
		return err
	}
	m.qemu.Stderr = &lockedWriter{m}
	if err := m.qemu.Start(); err != nil {
		return err
	}
	go m.read(out)
	if m.monitor, err = m.dial(socket); err != nil {
		return err
	}
	if m.bus, err = m.dial(bus); err != nil {
		return err
	}
	m.reader, m.busReply = bufio.NewReader(m.monitor), bufio.NewReader(m.bus)
	_, err = m.prompt()
	return err
}

// dial waits for QEMU to open one of its sockets.
func (m *Machine) dial(socket string) (net.Conn, error) {
	var last error
	for range 400 {
		c, err := net.Dial("unix", socket)
		if err == nil {
			return c, nil
		}
		last = err
		time.Sleep(25 * time.Millisecond)
	}
	m.Kill()
	return nil, fmt.Errorf("e2e: QEMU's %s: %w; console:\n%s", filepath.Base(socket), last, m.Console())
}

type lockedWriter struct{ m *Machine }

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	return w.m.console.Write(b)
}

// read sorts the console's lines into answers and the rest, until QEMU ends.
func (m *Machine) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if _, payload, ok := strings.Cut(line, mark); ok {
			var a answer
			if bad := json.Unmarshal([]byte(strings.TrimSpace(payload)), &a); bad != nil {
				a.Err = fmt.Sprintf("answer %q: %v", line, bad)
			}
			m.answers <- a
		} else {
			m.mu.Lock()
			m.console.WriteString(line)
			m.mu.Unlock()
		}
		if err != nil {
			break
		}
	}
	m.err = m.qemu.Wait()
	close(m.ended)
}

// Console returns what the kernel has printed so far.
func (m *Machine) Console() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.console.String()
}

// Do asks the guest for something and waits for its answer.
func (m *Machine) Do(do string, args ...string) (string, error) {
	b, err := json.Marshal(request{do, args})
	if err != nil {
		return "", err
	}
	if _, err := m.in.Write(append(b, '\n')); err != nil {
		return "", fmt.Errorf("%w: %w", ErrEnded, err)
	}
	out, err := m.answer()
	if err != nil {
		return out, fmt.Errorf("e2e: %s %v: %w", do, args, err)
	}
	return out, nil
}

func (m *Machine) answer() (string, error) {
	select {
	case a := <-m.answers:
		if a.Err != "" {
			return a.Out, errors.New(a.Err)
		}
		return a.Out, nil
	case <-m.ended:
		return "", ErrEnded
	case <-time.After(m.patience):
		return "", fmt.Errorf("no answer in %v", m.patience)
	}
}

// PowerOff shuts the board down in order and returns how QEMU ended.
func (m *Machine) PowerOff() error {
	defer m.Kill()
	if _, err := m.Do("poweroff"); err != nil {
		return err
	}
	select {
	case <-m.ended:
	case <-time.After(m.patience):
		return fmt.Errorf("e2e: the power is still on after %v", m.patience)
	}
	// QEMU ends well after a panic too, because that asks for a reboot.
	if strings.Contains(m.Console(), "Kernel panic") {
		return errors.New("e2e: the kernel panicked on the way down")
	}
	return m.err
}

// Kill cuts the power.
func (m *Machine) Kill() {
	_ = m.qemu.Process.Kill() // an error means that it has ended already
	<-m.ended
	for _, c := range []net.Conn{m.monitor, m.bus} {
		if c != nil {
			c.Close()
		}
	}
}

// Registers of the GPIO controller as the processor sees it (BCM2837 ARM
// Peripherals, chapter 6, at 0x3f200000): function selects, three bits a
// line, and the levels of the first 32 lines.
const (
	gpioFunctions = 0x3f200000
	gpioSet       = 0x3f20001c
	gpioClear     = 0x3f200028
	gpioLevels    = 0x3f200034
)

// timerLow is the lower half of the system timer, which counts microseconds
// from power on (chapter 12).
const timerLow = 0x3f003004

// Drive puts a level on line n from outside, as a wire to the header would:
// the emulated controller takes a write to its set and clear registers for
// the level of an input, too (qemu hw/gpio/bcm2835_gpio.c, gpset).
func (m *Machine) Drive(n, level int) error {
	if out, err := m.Output(n); err != nil || out {
		return fmt.Errorf("e2e: GPIO%d is an output, nothing outside may drive it (%v)", n, err)
	}
	register := gpioClear
	if level == 1 {
		register = gpioSet
	}
	if _, err := fmt.Fprintf(m.bus, "writel 0x%x 0x%x\n", register, uint32(1)<<n); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	if err := m.bus.SetReadDeadline(time.Now().Add(m.patience)); err != nil {
		return err
	}
	reply, err := m.busReply.ReadString('\n')
	if err != nil || strings.TrimSpace(reply) != "OK" {
		return fmt.Errorf("e2e: drive GPIO%d: QEMU says %q, %v", n, reply, err)
	}
	return nil
}

// Levels reads all lines of the header from outside: bit n is GPIO n.
func (m *Machine) Levels() (uint32, error) { return m.word(gpioLevels) }

// Output says whether line n is an output.
func (m *Machine) Output(n int) (bool, error) {
	w, err := m.word(gpioFunctions + uint32(n/10*4))
	return w>>(n%10*3)&7 == 1, err
}

// word reads the 32 bits at a physical address through QEMU's monitor.
func (m *Machine) word(address uint32) (uint32, error) {
	if _, err := fmt.Fprintf(m.monitor, "xp /1xw 0x%x\n", address); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrEnded, err)
	}
	out, err := m.prompt()
	if err != nil {
		return 0, err
	}
	_, value, ok := strings.Cut(out, ": 0x")
	if !ok || len(value) < 8 {
		return 0, fmt.Errorf("e2e: QEMU's monitor says %q", out)
	}
	v, err := strconv.ParseUint(value[:8], 16, 32)
	return uint32(v), err
}

// prompt reads from the monitor up to its next prompt.
func (m *Machine) prompt() (string, error) {
	const prompt = "(qemu) "
	var out strings.Builder
	if err := m.monitor.SetReadDeadline(time.Now().Add(m.patience)); err != nil {
		return "", err
	}
	for !strings.HasSuffix(out.String(), prompt) {
		b, err := m.reader.ReadByte()
		if err != nil {
			return out.String(), fmt.Errorf("%w: %w", ErrEnded, err)
		}
		out.WriteByte(b)
	}
	return out.String(), nil
}

// Lines names levels by GPIO number.
type Lines map[int]int

// Check compares levels with what each line should have.
func (want Lines) Check(levels uint32) error {
	var wrong []error
	for n, level := range want {
		if got := int(levels >> n & 1); got != level {
			wrong = append(wrong, fmt.Errorf("GPIO%d is %d, want %d", n, got, level))
		}
	}
	return errors.Join(wrong...)
}

// Event is one change of a line as the kernel saw it.
type Event struct {
	Seconds float64
	Line    int
	Out     bool // the line became an output or input (Level then is 1 or 0)
	Set     bool // the line was written
	Level   int
}

// Trace parses what the guest's trace command returns.
func Trace(text string) ([]Event, error) {
	base := -1
	var events []Event
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "gpiochip") && strings.Contains(line, "pinctrl-bcm2835") {
			if _, err := fmt.Sscanf(line[strings.Index(line, "GPIOs "):], "GPIOs %d-", &base); err != nil {
				return nil, fmt.Errorf("e2e: %q: %w", line, err)
			}
			continue
		}
		fields := strings.Fields(line)
		for i, f := range fields {
			if f != "gpio_value:" && f != "gpio_direction:" || i == 0 || len(fields) < i+4 {
				continue
			}
			seconds, err1 := strconv.ParseFloat(strings.TrimSuffix(fields[i-1], ":"), 64)
			number, err2 := strconv.Atoi(fields[i+1])
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("e2e: trace %q: %w", line, err)
			}
			e := Event{Seconds: seconds, Line: number}
			if f == "gpio_value:" { // gpio_value: 475 set 1
				e.Set = fields[i+2] == "set"
				e.Level, err1 = strconv.Atoi(fields[i+3])
			} else { // gpio_direction: 475 out (0)
				e.Out = fields[i+2] == "out"
			}
			if err1 != nil {
				return nil, fmt.Errorf("e2e: trace %q: %w", line, err1)
			}
			events = append(events, e)
		}
	}
	if base < 0 {
		return nil, fmt.Errorf("e2e: no chip pinctrl-bcm2835 in %q", text)
	}
	for i := range events {
		events[i].Line -= base
	}
	return events, nil
}
