// Package doctor says what is wrong with a board, why it matters, and the
// command that mends it. What can be read from files is read from a root that
// tests replace; what has to be tried comes in as functions.
package doctor

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"mien/boards"
	"mien/device/config"
	"mien/device/pins"
	"mien/device/publish"
	"mien/device/vitals"
	"mien/runtime/model"
	"mien/runtime/secret"
)

// State is how bad a finding is.
type State string

// The states, best first.
const (
	OK   State = "ok"
	Warn State = "warn" // works, with a limit that one should know
	Fail State = "fail" // does not work until it is mended
)

// Finding is one thing that was looked at.
type Finding struct {
	Part  string `json:"part"` // camera, gpio, ...
	State State  `json:"state"`
	What  string `json:"what"`           // what was found
	Why   string `json:"why,omitempty"`  // why that matters; empty when all is well
	Mend  string `json:"mend,omitempty"` // the command that mends it
}

// Patient is the machine under examination. Functions that are nil leave
// their part out.
type Patient struct {
	Root   fs.FS         // its file system
	Config config.Config // what it is to do
	Board  boards.Board  // zero for a machine that no board matches
	Known  bool          // Board was recognised
	User   string        // who is to run miend
	Groups []string      // of the user
	Now    time.Time
	Runs   bool   // miend is running: what it holds is not free, and all is well
	Locked bool   // the service's user cannot read File
	File   string // of the configuration, as a path from Root; empty for none
	Wrong  error  // what of the configuration cannot be opened here; nil for nothing

	Lines  func() ([]string, error)                     // names by which GPIO lines can be had
	Holder func(pin string) (who string, err error)     // who holds a GPIO line; empty when it is free
	Source func() (config.Source, error)                // the camera that is meant
	Frame  func(config.Source) (what string, err error) // takes one frame
	OLED   func(address int) error                      // asks whether a display answers
	LEDs   func() error                                 // sets the port up as the strip needs it
	Page   func() error                                 // listens where the page does
	Dog    func() error                                 // opens the hardware watchdog, and disarms it
	Broker func() (publish.Trial, error)                // logs in and tries what is published
	Fleet  func() error                                 // connects to the hub and asks about each subject
	Model  func() (Trial, error)                        // one run
	Free   func(path string) (bytes uint64, err error)  // of a file system
	Vitals func() vitals.Vitals                         // heat and power now
	InPath func(program string) bool
}

// Trial is one run of the model.
type Trial struct {
	Name, Engine string
	Took         time.Duration
	Card         model.Card
}

// Examine looks at everything and returns what it found, in a fixed order.
func Examine(p Patient) []Finding {
	e := &exam{Patient: p}
	for _, look := range []func(){e.config, e.board, e.system, e.camera, e.gpio, e.i2c, e.spi, e.page, e.mqtt, e.fleet, e.model, e.law,
		e.clock, e.disk, e.power, e.heat, e.watchdog} {
		look()
	}
	return e.found
}

// Healthy reports whether nothing has to be mended.
func Healthy(fs []Finding) bool {
	return !slices.ContainsFunc(fs, func(f Finding) bool { return f.State == Fail })
}

type exam struct {
	Patient
	found []Finding
}

func (e *exam) ok(part, what string, args ...any) {
	e.found = append(e.found, Finding{Part: part, State: OK, What: fmt.Sprintf(what, args...)})
}

func (e *exam) bad(s State, part, what, why, mend string) {
	e.found = append(e.found, Finding{part, s, what, why, mend})
}

func (e *exam) exists(path string) bool {
	_, err := fs.Stat(e.Root, strings.TrimPrefix(path, "/"))
	return err == nil
}

func (e *exam) text(path string) string {
	b, err := fs.ReadFile(e.Root, strings.TrimPrefix(path, "/"))
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), "\x00\n ")
}

func (e *exam) board() {
	if !e.Known {
		e.bad(Warn, "board", "not recognised: "+or(e.text("/proc/device-tree/model"), "no device tree"),
			"the camera and the threads are guessed", "name camera.source and model.threads in the configuration")
		return
	}
	e.ok("board", "%s", e.Board.Title)
}

// system looks at the kernel: the GPIO interface is older before 5.10.
func (e *exam) system() {
	release := e.text("/proc/sys/kernel/osrelease")
	major, minor, ok := kernel(release)
	switch {
	case !ok:
		e.bad(Warn, "kernel", "unknown release "+strconv.Quote(release), "what it can do is not known", "uname -r")
	case major < 4 || major == 4 && minor < 8:
		e.bad(Fail, "kernel", "Linux "+release, "the GPIO character device came with Linux 4.8; there is no other way to a line by name",
			"install a newer system image for this board")
	case major < 5 || major == 5 && minor < 10:
		e.bad(Warn, "kernel", "Linux "+release+", GPIO interface version 1",
			"lines work as promised; pull resistors of inputs (consent: gpio) need Linux 5.5", "wire a pull-down resistor to the consent line")
	default:
		e.ok("kernel", "Linux %s, GPIO interface version 2", release)
	}
}

// kernel takes a release such as 6.1.0-rpi7-v8 apart.
func kernel(release string) (major, minor int, ok bool) {
	n, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor, n == 2 && err == nil
}

// group says whether the user may open what belongs to a group.
func (e *exam) group(part, name, device string) bool {
	if e.User == "root" || slices.Contains(e.Groups, name) {
		return true
	}
	e.bad(Fail, part, fmt.Sprintf("user %s is not in group %s", e.User, name), device+" belongs to that group",
		fmt.Sprintf("sudo usermod -aG %s %s, then log in again", name, e.User))
	return false
}

// config looks at the file: who may read it, and what it asks for that cannot
// be opened here.
func (e *exam) config() {
	if e.Wrong != nil {
		for _, line := range strings.Split(e.Wrong.Error(), "\n") {
			e.bad(Fail, "config", line, "miend starts without what this key is for, or not at all", "correct the file; miend check says when it is right")
		}
	}
	if e.File == "" {
		return
	}
	st, err := fs.Stat(e.Root, strings.TrimPrefix(e.File, "/"))
	if err != nil {
		return // the defaults
	}
	if wrong := config.Exposed(&e.Config, e.File, st.Mode()); wrong != "" {
		e.bad(Warn, "config", e.File+" "+wrong, "passwords and tokens are for the device alone", config.Enclose(e.File))
		return
	}
	if e.Locked {
		e.bad(Fail, "config", e.File+" cannot be read by the service", "miend runs as user mien and does not start without it", config.Enclose(e.File))
		return
	}
	if e.Wrong == nil {
		e.ok("config", "%s", e.File)
	}
}

// camera takes a frame from the camera that miend would open.
func (e *exam) camera() {
	src, err := e.source()
	if err != nil {
		e.bad(Fail, "camera", err.Error(), "there are no frames to read", "set camera.source")
		return
	}
	switch src.Kind {
	case "rpicam":
		if !e.has("rpicam-vid") && !e.has("libcamera-vid") {
			e.bad(Fail, "camera", "rpicam-vid is not installed", "a CSI camera is reached through it alone", e.install("rpicam-apps-lite", "rpicam-vid"))
			return
		}
		if !e.group("camera", "video", "the camera") {
			return
		}
	case "v4l2":
		if !e.v4l2(src.Path.Reveal()) {
			return
		}
	case "ffmpeg":
		if !e.has("ffmpeg") {
			e.bad(Fail, "camera", "ffmpeg is not installed", "such a stream is read through it alone", e.install("ffmpeg", "ffmpeg"))
			return
		}
	case "replay":
		file := src.Path.Reveal()
		if strings.HasPrefix(file, "/") && !e.exists(file) {
			e.bad(Fail, "camera", "no recording "+file, "there are no frames to read", "ls -l "+path.Dir(file))
			return
		}
	}
	e.frame(src)
}

// source is the camera that is meant. Where nobody says, it is the board's.
func (e *exam) source() (config.Source, error) {
	if e.Source != nil {
		return e.Source()
	}
	src, err := config.ParseSource(e.Config.Camera.Source)
	if err != nil || src.Kind != "auto" {
		return src, err
	}
	if all := e.videos(); e.Board.Camera != "rpicam" || !e.has("rpicam-vid") && !e.has("libcamera-vid") && len(all) > 0 {
		device := or(strings.TrimPrefix(e.Board.Camera, "rpicam"), "/dev/video0")
		if !e.exists(device) && len(all) > 0 {
			device = all[0]
		}
		return config.Source{Kind: "v4l2", Path: secret.NewURL(device)}, nil
	}
	return config.Source{Kind: "rpicam"}, nil
}

func (e *exam) has(program string) bool { return e.InPath != nil && e.InPath(program) }

// install is how a program comes here, which apt does not do everywhere.
func (e *exam) install(debian, program string) string {
	if e.has("apt-get") {
		return "sudo apt-get install " + debian
	}
	return "install " + program + " with this system's package manager (Debian and Raspberry Pi OS call the package " + debian + ")"
}

func (e *exam) videos() []string {
	names, err := fs.Glob(e.Root, "dev/video*")
	if err != nil {
		return nil
	}
	for i := range names {
		names[i] = "/" + names[i]
	}
	return names
}

// v4l2 reports whether a device is there and may be opened.
func (e *exam) v4l2(device string) bool {
	if !e.exists(device) {
		have := "no camera at all"
		if all := e.videos(); len(all) > 0 {
			have = "there is " + strings.Join(all, ", ")
		}
		mend := "plug a USB camera in; v4l2-ctl --list-devices shows it"
		if e.Board.Camera == "rpicam" {
			mend = "set camera.source: rpicam for a camera on the ribbon cable, or plug a USB camera in"
		}
		e.bad(Fail, "camera", device+" does not exist ("+have+")", "there are no frames to read", mend)
		return false
	}
	return e.group("camera", "video", device)
}

// frame takes one frame and says what came, or what to do when none did.
func (e *exam) frame(src config.Source) {
	name := src.Path.String()
	switch src.Kind {
	case "rpicam":
		name = "the camera on the ribbon cable"
	case "v4l2":
		name = or(e.text("/sys/class/video4linux/"+path.Base(src.Path.Reveal())+"/name"), "unnamed")
	}
	if e.Frame == nil {
		e.ok("camera", "%s (not tried)", name)
		return
	}
	what, err := e.Frame(src)
	if err == nil {
		e.ok("camera", "%s: %s", name, what)
		return
	}
	said := strings.ToLower(err.Error())
	held := strings.Contains(said, "busy") || strings.Contains(said, "in use") || strings.Contains(said, "failed to acquire")
	if held && e.Runs {
		e.ok("camera", "%s: in use by miend, which is running", name)
		return
	}
	what = err.Error()
	if !strings.Contains(what, name) {
		what = name + ": " + what
	}
	mend := "sudo fuser -v " + src.Path.String() + " says who else uses it; systemctl stop miend while you try"
	switch {
	case src.Kind == "rpicam" && strings.Contains(said, "no cameras available"):
		mend = "switch the board off and push the ribbon cable in anew, contacts to the right side; rpicam-hello --list-cameras shows what is found"
	case src.Kind == "rpicam":
		mend = "rpicam-hello --list-cameras shows what is found; systemctl stop miend while you try"
	case src.Kind == "http" && strings.Contains(said, "begin the address with"):
		mend = "correct the address in camera.source"
	case src.Kind == "http" && strings.Contains(said, "certificate"):
		mend = "openssl s_client -showcerts -connect HOST:443 </dev/null | openssl x509 | sudo tee /etc/mien/camera.pem, see that it is the camera's, and set camera.ca: /etc/mien/camera.pem"
	case src.Kind == "http" && (strings.Contains(said, "name and a password") || strings.Contains(said, "name and password")):
		mend = "put the camera's name and password into camera.source: http://NAME:PASSWORD@HOST/..."
	case src.Kind == "http":
		mend = "curl -v with the address of camera.source shows what the camera answers; an address that streams MJPEG is wanted"
	case src.Kind == "ffmpeg":
		mend = "ffplay with the address of camera.source shows what the camera sends; a name and password go into it, rtsp://NAME:PASSWORD@HOST/..."
	case src.Kind == "replay":
		mend = "miend run --replay FILE shows whether a recording can be read"
	}
	e.bad(Fail, "camera", what, "it gives no frames", mend)
}

// gpio looks for the chip and every line that the configuration names.
func (e *exam) gpio() {
	want := map[string]string{}
	for name, l := range e.Config.Signals.Lines {
		want[e.Board.PinName(l.Pin)] = name
	}
	if e.Config.Buzzer.Pin != "" {
		want[e.Board.PinName(e.Config.Buzzer.Pin)] = "the buzzer"
	}
	if pin, ok := e.Config.ConsentPin(); ok {
		want[e.Board.PinName(pin)] = "consent"
	}
	if e.Config.Signals.Pins == "simulated" || len(want) == 0 {
		e.ok("gpio", "no line is wired")
		return
	}
	chips, err := fs.Glob(e.Root, "dev/gpiochip*")
	if err != nil || len(chips) == 0 {
		e.bad(Fail, "gpio", "there is no /dev/gpiochip*", "no line can be driven",
			"set signals.pins: simulated to run without, or use a kernel with CONFIG_GPIO_CDEV")
		return
	}
	if !e.group("gpio", "gpio", "/"+chips[0]) || e.Lines == nil {
		return
	}
	names, err := e.Lines()
	if err != nil {
		e.bad(Fail, "gpio", err.Error(), "no line can be driven", "ls -l /dev/gpiochip*")
		return
	}
	e.lines(names, want)
}

func (e *exam) lines(names []string, want map[string]string) {
	missing := false
	for _, pin := range slices.Sorted(maps.Keys(want)) {
		if slices.Contains(names, pin) {
			continue
		}
		missing = true
		why, mend := "lines are found by their name, which differs from board to board", "gpioinfo lists the names; of this board's header: "+e.header()
		switch {
		case len(names) == 0:
			why = "this board's device tree gives its lines no names"
			mend = "install the board's own system image, whose device tree has gpio-line-names"
		case strings.HasPrefix(pin, "header "):
			why = "power, ground, buses and pins of a GPIO chip that this kernel lacks are no lines for signals"
		}
		e.bad(Fail, "gpio", fmt.Sprintf("no line is called %q (wanted for %s)", pin, want[pin]), why, mend)
	}
	if !missing && e.free(want) {
		e.ok("gpio", "every line that is wired is there and free (%d)", len(want))
	}
}

// free looks whether somebody else holds a line.
func (e *exam) free(want map[string]string) bool {
	free := true
	if e.Holder == nil {
		return true
	}
	for _, pin := range slices.Sorted(maps.Keys(want)) {
		who, err := e.Holder(pin)
		switch {
		case err != nil:
			e.bad(Fail, "gpio", err.Error(), "it is not known whether the line is free", "gpioinfo shows the lines")
		case who == "" || who == pins.Consumer && e.Runs:
			continue
		case who == pins.Consumer:
			e.bad(Fail, "gpio", fmt.Sprintf("line %s (wanted for %s) is held by another miend", pin, want[pin]), "a line has one owner", "systemctl stop miend, or end the other one")
		default:
			e.bad(Fail, "gpio", fmt.Sprintf("line %s (wanted for %s) is held by %q", pin, want[pin], who), "a line has one owner",
				"stop that program, or where it is a driver of the kernel's (an overlay in config.txt), wire another pin; gpioinfo shows the lines")
		}
		free = false
	}
	return free
}

// header lists the pins of the board that are free.
func (e *exam) header() string {
	var names []string
	for _, p := range e.Board.Header {
		names = append(names, p.Name())
	}
	return or(strings.Join(names, ", "), "not known")
}

func (e *exam) i2c() {
	bus, address := e.Config.OLED.Bus, e.Config.OLED.Address
	if bus == "" {
		return
	}
	if !e.exists(bus) {
		e.bad(Fail, "i2c", bus+" does not exist", "the OLED stays dark; the rest works", e.enable("do_i2c", "i2c_arm", "i2c-dev"))
		return
	}
	if !e.group("i2c", "i2c", bus) {
		return
	}
	if e.OLED == nil {
		e.ok("i2c", "%s", bus)
		return
	}
	err := e.OLED(address)
	if err == nil {
		e.ok("i2c", "%s: a display answers at %#x", bus, address)
		return
	}
	mend := "check its four wires; i2cdetect -y " + strings.TrimPrefix(bus, "/dev/i2c-") + " shows the addresses that answer"
	for _, other := range []int{0x3c, 0x3d} { // the two that an SSD1306 can have
		if other != address && e.OLED(other) == nil {
			mend = fmt.Sprintf("something answers at %#x: set oled.address: %#x", other, other)
		}
	}
	e.bad(Fail, "i2c", fmt.Sprintf("%s: nothing answers at %#x: %v", bus, address, err), "the OLED stays dark; the rest works", mend)
}

func (e *exam) spi() {
	if e.Config.LEDs.Kind == "" {
		return
	}
	bus := e.Config.LEDs.Bus
	if !e.exists(bus) {
		e.bad(Fail, "spi", bus+" does not exist", "the LEDs stay dark; the rest works", e.enable("do_spi", "spi", "spidev"))
		return
	}
	if !e.group("spi", "spi", bus) {
		return
	}
	if e.LEDs != nil {
		if err := e.LEDs(); err != nil {
			e.bad(Fail, "spi", fmt.Sprintf("%s: %v", bus, err), "the LEDs stay dark; the rest works",
				"the port has to take mode 3 at the strip's speed: use one of the processor's own, /dev/spidev0.0")
			return
		}
	}
	e.ok("spi", "%s", bus)
}

// page looks whether somebody else has the page's address.
func (e *exam) page() {
	l := e.Config.Status.Listen
	if l == "none" || e.Page == nil {
		return
	}
	err := e.Page()
	switch {
	case err == nil:
		e.ok("page", "http://%s", l)
	case strings.Contains(err.Error(), "in use") && e.Runs:
		e.ok("page", "http://%s, where miend is running", l)
	default:
		e.bad(Fail, "page", err.Error(), "the page and the API cannot be reached; the rest works",
			"sudo ss -ltnp says who listens there; set status.listen to another port, or none")
	}
}

// mqtt logs in at the broker and tries what is published there.
func (e *exam) mqtt() {
	if e.Config.MQTT.Broker.IsZero() || e.Broker == nil {
		return
	}
	t, err := e.Broker()
	switch {
	case publish.Refused(err):
		e.bad(Fail, "mqtt", err.Error(), "nothing is published; messages wait on the disk", "set mqtt.user and mqtt.password as the broker knows them")
	case err != nil:
		e.bad(Fail, "mqtt", err.Error(), "nothing is published; messages wait on the disk", "check mqtt.broker (mqtt:// and port 1883 are plain, mqtts:// and 8883 are TLS), mqtt.ca and the network")
	case len(t.Denied) > 0:
		e.bad(Fail, "mqtt", t.Broker+" does not let this device "+some(t.Denied, 4, ", nor "), "what is denied is lost",
			"allow it in the broker's access list, or set mqtt.topic and mqtt.discovery to what is allowed")
	case len(t.Lacks) > 0:
		e.bad(Warn, "mqtt", t.Broker+" "+strings.Join(t.Lacks, ", and it "), "Home Assistant and others may not know how the device stands",
			"allow retained messages and QoS 1 in the broker's configuration (mosquitto: retain_available true, max_qos 2)")
	default:
		e.ok("mqtt", "%s lets this device in, and publish", t.Broker)
	}
}

// fleet connects to the hub as the device does.
func (e *exam) fleet() {
	f := &e.Config.Fleet
	if len(f.Servers) == 0 || e.Fleet == nil {
		return
	}
	if err := e.Fleet(); err != nil {
		e.bad(Fail, "fleet", err.Error(), "the hub is told nothing; messages wait on the disk",
			"check fleet.servers, fleet.ca and the network; mien fleet enrol SITE/BOARD on the hub makes new credentials")
		return
	}
	e.ok("fleet", "%s lets this device in as %s/%s", strings.Join(f.Servers, ", "), f.Site, e.Config.Name)
}

// enable is how a bus is switched on.
func (e *exam) enable(pi, parameter, module string) string {
	switch {
	case strings.HasPrefix(e.Board.Name, "rpi") && (e.InPath == nil || e.has("raspi-config")):
		return "sudo raspi-config nonint " + pi + " 0 && sudo reboot"
	case strings.HasPrefix(e.Board.Name, "rpi"):
		return "add dtparam=" + parameter + "=on to config.txt of the boot partition and sudo reboot"
	}
	return "sudo modprobe " + module + "; the bus itself is switched on in the device tree"
}

// some joins the first few of a list, and counts the others.
func some(list []string, most int, by string) string {
	if len(list) <= most {
		return strings.Join(list, by)
	}
	return fmt.Sprintf("%s, and %d others", strings.Join(list[:most], by), len(list)-most)
}

func (e *exam) model() {
	if e.Model == nil {
		return
	}
	t, err := e.Patient.Model()
	if err != nil {
		e.bad(Fail, "model", err.Error(), "nothing can be read from a face", "set model.file to a file that mien wrote, or leave it empty for the model inside miend")
		return
	}
	what := fmt.Sprintf("%s on %s, %.1f ms a face", t.Name, t.Engine, float64(t.Took.Microseconds())/1000)
	if e.Config.Model.Engine == "auto" && strings.HasPrefix(t.Engine, "portable") && e.Board.Engine == "tflite" {
		e.bad(Warn, "model", what, "this board can run TensorFlow Lite, which is faster; this build is without", e.withLibrary())
	} else {
		e.ok("model", "%s", what)
	}
	e.card(&t.Card)
}

// card tells how often the model is right and what it was trained on.
func (e *exam) card(c *model.Card) {
	if len(c.Accuracy) == 0 || len(c.Training) == 0 {
		e.bad(Warn, "model card", "the file does not say how often it is right, or what it was trained on",
			"its answers cannot be judged, nor whether its terms allow this use", "mien card measures a model and writes it in; or leave model.file empty for the model inside miend")
		return
	}
	var right, from []string
	for _, a := range c.Accuracy {
		where := ""
		if a.Other {
			where = " on " + a.Data
		}
		right = append(right, fmt.Sprintf("%s %.1f%%%s", a.Head, 100*a.File, where))
	}
	for _, d := range c.Training {
		from = append(from, d.Name+", "+d.Terms)
	}
	e.ok("model card", "right on faces it had not seen: %s; trained on %s", strings.Join(right, ", "), strings.Join(from, "; "))
}

// withLibrary is how a build with TensorFlow Lite comes here.
func (e *exam) withLibrary() string {
	if e.Board.Match.NoDeviceTree {
		return "make bin/miend"
	}
	return "make deb BOARD=" + e.Board.Name + ", and install the package"
}

// law names what needs more than a working board.
func (e *exam) law() {
	if slices.Contains(e.Config.Heads, model.Race.Name) {
		e.bad(Warn, "heads", "race is enabled", "inferring race from faces is unlawful in many uses (in the EU: AI Act, Article 5(1)(g))",
			"heads: ["+strings.Join(slices.DeleteFunc(slices.Clone(e.Config.Heads), model.Sensitive), ", ")+"]")
	}
	if e.Config.Status.Preview && e.Config.Status.Listen != "none" {
		e.bad(Warn, "preview", "the camera's picture is on the status page", "people in view can be watched", "status: {preview: false}")
	}
}

// clock looks whether the time can be right: certificates and readings need it.
func (e *exam) clock() {
	switch {
	case e.Now.Year() < 2026:
		e.bad(Fail, "clock", "it is "+e.Now.Format("2 January 2006")+" here", "readings carry wrong times and TLS fails",
			"sudo timedatectl set-ntp true")
	case !e.exists("/run/systemd/timesync/synchronized") && e.exists("/run/systemd/timesync"):
		e.bad(Warn, "clock", "not synchronised yet", "readings may carry wrong times", "timedatectl timesync-status")
	default:
		e.ok("clock", "%s", e.Now.UTC().Format(time.RFC3339))
	}
}

func (e *exam) disk() {
	if e.Free == nil {
		return
	}
	dir := "/var/lib/mien"
	if !e.exists(dir) {
		dir = "/"
	}
	n, err := e.Free(dir)
	switch mib := n >> 20; {
	case err != nil:
		e.bad(Warn, "disk", err.Error(), "whether there is room is not known", "df -h "+dir)
	case mib < 50:
		e.bad(Fail, "disk", fmt.Sprintf("%d MiB free in %s", mib, dir), "model updates and the MQTT queue need 50 MiB",
			e.cleanUp())
	default:
		e.ok("disk", "%d MiB free in %s", mib, dir)
	}
}

// cleanUp makes room.
func (e *exam) cleanUp() string {
	if e.has("apt-get") {
		return "sudo apt-get clean; sudo journalctl --vacuum-size=50M"
	}
	return "sudo journalctl --vacuum-size=50M, and empty the package manager's cache"
}

func (e *exam) power() {
	if e.Patient.Vitals == nil {
		return
	}
	v := e.Patient.Vitals()
	switch {
	case v.UnderVoltage:
		e.bad(Fail, "power", "under-voltage now", "the processor is slowed down and USB cameras drop out", "use the board's own power supply and a short cable")
	case v.WasLow:
		e.bad(Warn, "power", "under-voltage since the board was started", "the supply is at its limit", "use the board's own power supply and a short cable")
	case v.Throttled:
		e.bad(Warn, "power", "the firmware holds the processor down", "fewer readings a second", "give it a heat sink or a fan; vcgencmd get_throttled")
	case !v.Told && e.Board.Throttle != "":
		e.bad(Warn, "power", "nothing tells whether the firmware throttles: neither get_throttled under /sys nor vcgencmd",
			"the rate is not held down before the firmware slows the processor", e.install("raspi-utils", "vcgencmd")+", and run miend in group video")
	default:
		e.ok("power", "no complaint")
	}
}

func (e *exam) heat() {
	if e.Patient.Vitals == nil {
		return
	}
	v := e.Patient.Vitals()
	switch {
	case v.Celsius == 0:
		e.ok("heat", "this machine does not say")
	case v.Celsius >= e.Config.Health.TooHot:
		e.bad(Warn, "heat", fmt.Sprintf("%.0f degrees Celsius", v.Celsius), "the rate is held down from "+strconv.FormatFloat(e.Config.Health.TooHot, 'f', -1, 64)+" on",
			"give it a heat sink or a fan, or set camera.max_rate lower")
	default:
		e.ok("heat", "%.0f degrees Celsius", v.Celsius)
	}
}

func or(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
