package publish

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A real broker says what it allows: nothing to a stranger, and to whom it
// knows what its list says.
func TestTry(t *testing.T) {
	b := newBroker(t)
	b.write("list", "user mien\ntopic write mien/#\ntopic read homeassistant/status\n")
	open := Options{Broker: "mqtts://" + b.addr(), Username: user, Password: password, CA: b.ca, ID: "door", Dir: filepath.Join(t.TempDir(), "none")}
	try := func(o Options) (Trial, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return Try(ctx, o)
	}
	if got, err := try(open); err != nil || len(got.Denied) != 0 {
		t.Errorf("everything is allowed: %+v, %v", got, err)
	}
	stranger := open
	stranger.Password = "S3cret"
	if _, err := try(stranger); !Refused(err) || strings.Contains(err.Error(), "S3cret") {
		t.Errorf("a stranger: %v", err)
	}
	plain := open
	plain.CA = ""
	if _, err := try(plain); err == nil || Refused(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a broker whose certificate nobody knows: %v", err)
	}
	away := open
	away.Broker = "mqtts://127.0.0.1:1"
	if _, err := try(away); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("no broker: %v", err)
	}
	b.kill()
	b.append("acl_file " + filepath.Join(b.dir, "list") + "\n")
	b.start()
	got, err := try(open)
	if err != nil || strings.Join(got.Denied, ",") != "publish to homeassistant/device/mien_trial/config" {
		t.Errorf("with a list: %+v, %v", got, err)
	}
	open.Prefix = "elsewhere/door"
	if got, err = try(open); err != nil || !strings.Contains(strings.Join(got.Denied, ","), "publish to elsewhere/door/trial") {
		t.Errorf("another topic: %+v, %v", got, err)
	}
}

// append adds to the broker's configuration, for its next start.
func (b *broker) append(text string) {
	path := filepath.Join(b.dir, "mosquitto.conf")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
