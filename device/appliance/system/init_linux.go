package system

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mien/boards/card"
	"mien/device/appliance"
	"mien/runtime/atomicfile"
	"mien/runtime/plainfile"
)

// Where things are on the root file system, which nothing writes, and where what
// is written lies.
const (
	share    = "/usr/share/mien/"
	miend    = "/usr/bin/miend"
	data     = "/data"
	configs  = data + "/config" // miend's own: its page changes what is there
	config   = configs + "/mien.yaml"
	lastTime = data + "/clock"
	hostname = "mien"
)

// system is the board as its first process runs it.
type system struct {
	log      *log
	reaper   *reaper
	firmware *service
	net      *network
	updates  *updater
	problem  string // why updates cannot be taken
	image    string // its name
	keys     string // folder of the public keys whose images are trusted
	orders   chan order
}

// order ends the system: a restart, of the other slot perhaps, or the power off.
type order struct {
	why   string
	how   int // of reboot(2)
	other bool
}

// Main is the life of the first process. It does not return: the kernel would
// panic, and so it does when this panics, which restarts the board.
func Main() {
	s := &system{keys: "/etc/mien/keys", orders: make(chan order, 8)}
	if err := mounts(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	s.log = newLog()
	s.log.try("accounts", accounts())
	feed := s.watchdog()
	s.reaper = newReaper()
	s.log.try("modules", modules())
	s.image = strings.TrimSpace(content(share + "image"))
	s.log.say("image %s", s.image)
	s.log.try("clock", clockFloor(share+"image"))
	s.storage()
	s.log.try("clock", clockFloor(lastTime))
	s.log.try("configuration", seed())
	owners := watchDevices(s.log)
	s.firmware = newService(s.reaper, s.log)
	s.net = newNetwork(s.log, content("/proc/sys/kernel/hostname"))
	s.log.try("socket", s.serve()) // by it miend knows where it runs
	go s.firmware.run()
	go s.net.run()
	go owners()
	go keepTime(s.net, s.log)
	s.look()
	s.rule(feed)
}

// rule feeds the watchdog and waits for the end.
func (s *system) rule(feed func()) {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) // Ctrl-Alt-Del becomes a signal
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	beat := time.NewTicker(watchdogBeat)
	for {
		select {
		case <-beat.C:
			feed()
		case sig := <-signals:
			how := unix.LINUX_REBOOT_CMD_RESTART
			if sig == syscall.SIGUSR1 || sig == syscall.SIGUSR2 { // as busybox's init has it
				how = unix.LINUX_REBOOT_CMD_POWER_OFF
			}
			s.orders <- order{why: sig.String(), how: how}
		case o := <-s.orders:
			s.log.say("ending: %s", o.why)
			s.end(o, feed)
		}
	}
}

// endWithin is how long the end may take.
const endWithin = 40 * time.Second

// end stops miend, whose lines get to their safe level, and writes out what is
// not on the card yet. The watchdog is fed for so long only, and ends what hangs.
func (s *system) end(o order, feed func()) {
	go func() {
		for range endWithin / watchdogBeat {
			feed()
			time.Sleep(watchdogBeat)
		}
	}()
	s.firmware.stop()
	if synchronised.Load() {
		_ = os.WriteFile(lastTime, nil, 0o644)
	}
	for _, m := range []string{"/var/lib/mien", data} {
		s.log.try("unmount "+m, unix.Unmount(m, 0))
	}
	unix.Sync()
	if o.other {
		// The firmware's one-shot flag: Raspberry Pi documentation, "tryboot".
		arg := append([]byte("0 tryboot"), 0)
		err := restartWith(arg)
		s.log.say("restart on trial: %v", err)
	}
	err := unix.Reboot(o.how)
	s.log.say("reboot: %v", err) // the watchdog does it
	select {}
}

func mounts() error {
	var errs []error
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		options              string
	}{
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
		{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
		{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID | unix.MS_NOEXEC, ""},
		{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755,size=16m"},
		{"tmp", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=64m"},
		{"etc", "/etc", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "mode=755,size=1m"},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.target, err))
		}
	}
	return errors.Join(errs...)
}

// The user as whom miend runs, and the groups that hold the camera, the header
// and its buses.
const (
	mienID  = 900
	videoID = 44
	gpioID  = 901
	i2cID   = 902
	spiID   = 903
)

// accounts fills /etc, names the board, and lets miend listen on port 80.
func accounts() error {
	var errs []error
	for name, text := range map[string]string{
		"/etc/passwd":      fmt.Sprintf("root:x:0:0:root:/:/none\nmien:x:%d:%d:mien:/data/mien:/none\n", mienID, mienID),
		"/etc/group":       fmt.Sprintf("root:x:0:\nmien:x:%d:\nvideo:x:%d:mien\ngpio:x:%d:mien\ni2c:x:%d:mien\nspi:x:%d:mien\n", mienID, videoID, gpioID, i2cID, spiID),
		"/etc/hosts":       "127.0.0.1 localhost " + hostname + "\n::1 localhost\n",
		"/etc/machine-id":  machineID() + "\n",
		"/etc/resolv.conf": "",
		"/proc/sys/net/ipv4/ip_unprivileged_port_start": "80",
	} {
		errs = append(errs, os.WriteFile(name, []byte(text), 0o644))
	}
	errs = append(errs, os.MkdirAll("/etc/mien", 0o755), os.Symlink(config, "/etc/mien/mien.yaml"), os.Symlink("/boot/keys", "/etc/mien/keys"),
		os.MkdirAll(filepath.Dir(appliance.Socket), 0o755), unix.Sethostname([]byte(hostname)))
	return errors.Join(errs...)
}

// machineID is the same at each start of a board, and tells it from others.
func machineID() string {
	sum := sha256.Sum256([]byte("mien " + content("/proc/device-tree/serial-number") + content("/sys/class/net/eth0/address")))
	return fmt.Sprintf("%x", sum[:16])
}

// modules loads those of the kernel's modules that are on the list.
func modules() error {
	var errs []error
	for path := range strings.Lines(content(share + "modules")) {
		path = strings.TrimSpace(path)
		f, err := os.Open(path)
		if err == nil {
			err = unix.FinitModule(int(f.Fd()), "", 0)
			f.Close()
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// content is what a small file says; empty when there is none.
func content(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

// argument says whether the kernel was started with a word.
func argument(word string) bool {
	for f := range strings.FieldsSeq(content("/proc/cmdline")) {
		if f == word {
			return true
		}
	}
	return false
}

// seed puts the configuration of the boot partition in its place when it is
// another than the one that was put there last: what somebody has written to
// the card counts, and what was changed on the board stays until then.
func seed() error {
	if err := errors.Join(os.MkdirAll(configs, 0o750), os.Chown(configs, mienID, mienID)); err != nil {
		return err
	}
	given, err := os.ReadFile("/boot/mien.yaml")
	if err != nil {
		if _, err := os.Stat(config); err == nil {
			return nil
		}
		if given, err = os.ReadFile(share + "first.yaml"); err != nil {
			return err
		}
	}
	sum := fmt.Appendf(nil, "%x\n", sha256.Sum256(given))
	const taken = configs + "/mien.yaml.taken"
	if before, err := plainfile.Read(taken, 1<<10); err == nil && bytes.Equal(before, sum) {
		return nil
	}
	if err := os.Rename(config, config+".before"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, f := range []struct {
		path string
		data []byte
	}{{config, given}, {taken, sum}} {
		if err := writeFor(f.path, f.data); err != nil {
			return err
		}
	}
	return nil
}

// writeFor puts a file that miend may change where miend may change all: what it
// has made there, a link to somewhere else perhaps, is replaced and not followed.
func writeFor(path string, b []byte) error {
	if err := atomicfile.Write(path, b); err != nil {
		return err
	}
	return errors.Join(os.Chmod(path, 0o640), os.Lchown(path, mienID, mienID))
}

// look says what a start has to do about updates, and does it.
func (s *system) look() {
	if s.updates == nil { // the card is not laid out as an image's
		return
	}
	what, err := s.updates.begin()
	if err != nil {
		s.problem = err.Error()
		s.log.say("updates cannot be taken: %v", err)
		return
	}
	switch what {
	case tryOther:
		s.orders <- order{why: "the image of the other slot is tried", other: true, how: unix.LINUX_REBOOT_CMD_RESTART}
	case prove:
		s.log.say("slot %v runs on trial", s.updates.runs)
		go s.prove()
	case carryOn:
		go s.waiting()
	}
}

// waiting takes an update that was received before the power went.
func (s *system) waiting() {
	path := filepath.Join(appliance.Incoming, appliance.Waiting)
	signature, err := plainfile.Read(path+appliance.Signed, 16<<10)
	if err != nil {
		return // there is none
	}
	time.Sleep(waitingFor) // miend comes first, and whether it works is what the trial is held to
	err = s.take(appliance.Request{Path: path, Signature: signature})
	s.log.try("the update that waited", errors.Join(err, os.Remove(path+appliance.Signed), os.Remove(path)))
	if err == nil {
		s.orders <- order{why: "an update is tried", other: true, how: unix.LINUX_REBOOT_CMD_RESTART}
	}
}

// waitingFor is how long an update waits after the start.
const waitingFor = 20 * time.Second

// The trial of an image: so long it has to do well, within so long.
const (
	proofFor    = 20 * time.Second
	proofWithin = 5 * time.Minute
)

// prove confirms the image that runs, or leaves it.
func (s *system) prove() {
	st, err := s.updates.memory.load()
	if err != nil {
		s.log.say("what is remembered of updates: %v", err)
	}
	need := appliance.Trial{}
	if st.Trial != nil {
		need = *st.Trial
	}
	var since time.Time
	why := ""
	for start := time.Now(); time.Since(start) < proofWithin; time.Sleep(time.Second) {
		if why = s.lacks(need); why != "" {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) >= proofFor {
			if err := s.updates.confirm(); err != nil {
				s.log.say("confirming: %v", err)
				continue
			}
			s.log.say("slot %v has proven itself and is confirmed", s.updates.runs)
			return
		}
	}
	s.orders <- order{why: "the image did not prove itself: " + why, how: unix.LINUX_REBOOT_CMD_RESTART}
}

// lacks says what keeps an image from being proven.
func (s *system) lacks(need appliance.Trial) string {
	alive, reading := s.firmware.state()
	switch {
	case s.problem != "":
		return s.problem
	case !alive:
		return "miend does not run well"
	case need.Reading && !reading:
		return "nothing is read, as it was before"
	case need.Network && !s.net.up():
		return "there is no network, as there was before"
	}
	return ""
}

// place is where the card is.
type place struct {
	disk  string // /dev/mmcblk0
	parts map[int]string
}

// find looks for the card from which the root file system comes.
func find() (*place, error) {
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		return nil, err
	}
	at, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return nil, err
	}
	disk := filepath.Dir(at)
	p := &place{disk: "/dev/" + filepath.Base(disk), parts: map[int]string{}}
	numbers, err := filepath.Glob(disk + "/*/partition")
	for _, n := range numbers {
		i := 0
		if _, err := fmt.Sscan(content(n), &i); err == nil {
			p.parts[i] = "/dev/" + filepath.Base(filepath.Dir(n))
		}
	}
	if p.parts[1] == "" || p.parts[7] == "" {
		return nil, fmt.Errorf("the root file system is on %s, which is not laid out as the card of an image (%v)", p.disk, err)
	}
	return p, nil
}

// storage mounts the boot and the data partition. Where there is none, what is
// written lasts until the power goes, and the log says so.
func (s *system) storage() {
	p, err := find()
	if err == nil {
		s.log.try("boot partition", unix.Mount(p.parts[1], "/boot", "vfat", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
		err = s.data(p)
	}
	if err != nil {
		s.log.say("nothing that is written lasts: %v", err)
		s.log.try("data", unix.Mount("data", data, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=64m"))
		s.problem = err.Error()
	}
	for _, dir := range []string{data, appliance.Incoming, data + "/image"} {
		s.log.try("data", os.MkdirAll(dir, 0o750))
	}
	s.log.try("data", errors.Join(os.Chmod(data, 0o755), os.Chown(appliance.Incoming, mienID, mienID)))
	s.log.try("data", unix.Mount(appliance.Incoming, "/var/lib/mien", "", unix.MS_BIND, ""))
}

// data mounts the data partition, which it makes at the first start after the
// card was written.
func (s *system) data(p *place) error {
	f, err := os.OpenFile(p.disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	disk := blockDevice{f}
	slot, err := card.SlotOf(content("/proc/cmdline"))
	if err != nil {
		return err
	}
	board, err := card.Board(disk)
	if err != nil {
		return err
	}
	s.updates = &updater{disk: disk, memory: stateFile(data + "/image/state.json"), board: board, runs: slot, said: s.log.say}
	made, err := card.DataMade(disk)
	if err != nil {
		return err
	}
	if !made {
		begun := time.Now()
		if err := format(p.parts[7]); err != nil {
			return fmt.Errorf("making the data partition: %w", err)
		}
		if err := card.MarkDataMade(disk); err != nil {
			return err
		}
		s.log.say("made the data partition in %.1f s", time.Since(begun).Seconds())
	}
	if err := unix.Mount(p.parts[7], data, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOATIME, "commit=5"); err != nil {
		return err
	}
	go func() { s.log.try("data", grow(data)) }() // nothing to do but at the first start
	return nil
}
