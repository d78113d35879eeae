package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"mien/camera/replay/portrait"
	"mien/device"
	"mien/device/config"
	"mien/runtime/testwait"
)

// mark is in every secret of these tests.
const mark = "S3cretMark"

// moody is a camera with one behaviour a path, each of which has an answer or
// an error of its own.
func moody(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
			for r.Context().Err() == nil {
				fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n", len(portrait.JPEG()), portrait.JPEG())
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		case "/page":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>log in</html>")
		case "/redirect":
			http.Redirect(w, r, "http://admin:"+mark+"@127.0.0.1:1/x?key="+mark, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		case "/hang-up":
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				c.Close()
			}
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="cam"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// mosquitto is a real broker that asks for a password; what it passes on is
// in heard.
func mosquitto(t *testing.T) (addr string, heard *testwait.Log) {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/mosquitto"); err != nil {
		t.Fatal("this test needs a real broker: apt-get install mosquitto")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	passwords, conf := filepath.Join(dir, "passwords"), filepath.Join(dir, "conf")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "user"+mark, "password"+mark).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous false\npassword_file %s\n", port, passwords)
	if os.Geteuid() == 0 {
		text += "user root\n"
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })

	}
	start("/usr/sbin/mosquitto", "-c", conf)
	testwait.Until(t, "the broker", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	heard = &testwait.Log{}
	client := paho.NewClient(paho.ClientConfig{Conn: conn, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(r paho.PublishReceived) (bool, error) {
			fmt.Fprintf(heard, "%s %s\n", r.Packet.Topic, r.Packet.Payload)
			return true, nil
		}}})
	if _, err := client.Connect(t.Context(), &paho.Connect{ClientID: "ear", CleanStart: true, KeepAlive: 60,
		Username: "user" + mark, UsernameFlag: true, Password: []byte("password" + mark), PasswordFlag: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	return addr, heard
}

// Of a configuration full of secrets none is in any output: log, what run
// prints, page, API, events, metrics, MQTT, doctor, check, whatever the camera answers.
func TestNoOutputHasASecret(t *testing.T) {
	cam := moody(t)
	host := strings.TrimPrefix(cam.URL, "http://")
	addr, heard := mosquitto(t)
	model := modelFile(t)
	outputs := map[string]string{}
	for _, path := range []string{"ok", "page", "redirect", "loop", "hang-up", "locked", "user=a_password=" + mark, "x;pwd=" + mark, "rtsp"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		page := l.Addr().String()
		l.Close()
		scheme := "http"
		if path == "rtsp" {
			scheme = path
		}
		kept := t.TempDir()
		if err := os.WriteFile(filepath.Join(kept, "key"), []byte("kept-"+mark+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", kept)
		text := fmt.Sprintf(`name: door
camera: {source: "%s://admin%s:%s@%s/%s?user=x&pwd=%s&%s#%s"}
model: {file: %s}
faces: {min_size: 400}
status: {listen: "%s", token: token-%s}
mqtt: {broker: "mqtt://%s", user: user%s, password: password%s, queue: %s}
webhook: {url: "http://u%s:%s@%s/locked/%s", key: "${CREDENTIAL:key}", events: [track, transition]}
signals: {pins: simulated, lines: {ready: {pin: GPIO4}}}
`, scheme, mark, mark, host, path, mark, mark, mark, model, page, mark, addr, mark, mark, filepath.Join(t.TempDir(), "queue"), mark, mark, host, mark)
		file := write(t, "mien.yaml", []byte(text))
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"check", file}, {"doctor", "-c", file}, {"doctor", "--json", "-c", file}} {
			var out, errs bytes.Buffer
			err := run(context.Background(), args, &out, &errs)
			outputs[args[0]+" "+path] += fmt.Sprint(out.String(), errs.String(), err)
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(path, func(t *testing.T) {
			var log, printed testwait.Log
			a := live(t, cfg, newLog(&log), appOptions{path: file, to: device.Observers{&jsonLines{w: &printed, failed: func() {}}, newTicker(&printed, false)}})
			testwait.Until(t, "an answer of the camera", func() bool { h := a.health(); return h.Frames > 1 || strings.Contains(h.Reason, "trying again") })
			testwait.Until(t, "the broker's", func() bool { return problem(a, "mqtt") == "" })
			events := stream(t, "http://"+page+"/v1/events", "token-"+mark)
			for _, get := range []string{"/", "/app.js", "/v1/info", "/v1/status", "/v1/readings", "/healthz", "/metrics", "/v1/openapi.json"} {
				outputs[get+" "+path] = fetchWith(t, "http://"+page+get, "token-"+mark)
			}
			for _, wrong := range []string{"", "wrong"} {
				outputs["refused "+path] += fetchWith(t, "http://"+page+"/v1/status", wrong)
			}
			outputs["events "+path] = events()
			changed := cfg
			changed.Status.Hosts = []string{"hall"}
			if err := a.reload(changed); err != nil {
				t.Error(err)
			}
			outputs["health "+path] = fmt.Sprintf("%+v %+v", a.health(), a.now.Load())
			outputs["log "+path], outputs["printed "+path] = log.String(), printed.String()
		})
	}
	testwait.Until(t, "a message", func() bool { return strings.Contains(heard.String(), "mien/door/") })
	outputs["mqtt"] = heard.String()
	for what, out := range outputs {
		if len(out) < 2 {
			t.Errorf("%s: nothing was said", what)
		}
		if i := strings.Index(out, mark); i >= 0 {
			t.Errorf("%s shows a secret: ...%s...", what, out[max(0, i-200):min(len(out), i+60)])
		}
	}
	// The outputs are those that are meant: each names the camera or the broker.
	for _, what := range []string{"log ok", "check ok", "doctor ok", "/v1/status ok", "events ok"} {
		if !regexp.MustCompile(regexp.QuoteMeta(host) + `|` + regexp.QuoteMeta(addr)).MatchString(outputs[what]) {
			t.Errorf("%s names neither camera nor broker: %s", what, outputs[what])
		}
	}
	for what, want := range map[string]string{
		"doctor ok":       "lets this device in, and publish",
		"doctor locked":   "do:  put the camera's name and password into camera.source: http://NAME:PASSWORD@HOST/...",
		"doctor page":     "FAIL  camera",
		"doctor hang-up":  "FAIL  camera",
		"doctor redirect": "FAIL  camera",
		"doctor rtsp":     "do:  ffplay with the address",
	} {
		if !strings.Contains(outputs[what], want) {
			t.Errorf("%s does not say %q: %s", what, want, outputs[what])
		}
	}
	if strings.Contains(outputs["doctor ok"], "FAIL  camera") || strings.Contains(outputs["doctor ok"], "FAIL  mqtt") {
		t.Errorf("doctor finds fault with what works: %s", outputs["doctor ok"])
	}
	if !strings.Contains(outputs["check ok"], "can be read by everybody (mode 0644), and holds camera.source, status.token, mqtt.user, mqtt.password, webhook.url") {
		t.Errorf("check does not say who can read the file: %s", outputs["check ok"])
	}
}

// Doctor says of a camera what it wants, and what to do about that.
func TestDoctorOfHTTPCameras(t *testing.T) {
	cam, safe := moody(t), newTLS()
	defer safe.Close()
	for address, want := range map[string]string{
		cam.URL + "/locked": "do:  put the camera's name and password into camera.source",
		cam.URL + "/page":   "do:  curl -v",
		safe.URL:            "set camera.ca: /etc/mien/camera.pem",
		strings.Replace(safe.URL, "https", "http", 1):  "do:  correct the address in camera.source",
		strings.Replace(cam.URL, "http", "https", 1):   "do:  correct the address in camera.source",
		strings.Replace(cam.URL, "//", "//a:b@", 1):    "do:  put the camera's name and password into camera.source",
		"http://127.0.0.1:1/" + strings.Repeat("a", 9): "do:  curl -v",
	} {
		file := write(t, "mien.yaml", []byte(fmt.Sprintf("camera: {source: %q}\nmodel: {file: %s}\nstatus: {listen: none}\n", address, modelFile(t))))
		out, err := miend("doctor", "-c", file)
		if err == nil || !strings.Contains(out, want) || strings.Count(out, address) > 1 {
			t.Errorf("%s: want %q: %s", address, want, out)
		}
	}
}

func fetchWith(t *testing.T, url, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if err := resp.Header.Write(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// stream listens to events until it is called, at least for the first status.
func stream(t *testing.T, url, token string) func() string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var all testwait.Log
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer resp.Body.Close()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			fmt.Fprintln(&all, s.Text())
		}
	}()
	return func() string {
		testwait.Until(t, "two reports", func() bool { return strings.Count(all.String(), "event: status") > 1 })
		cancel()
		<-ended
		return all.String()
	}
}
