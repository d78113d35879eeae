package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const mark = "S3cretMark"

// holder has secrets wherever a struct can have them.
type holder struct {
	Token   Text
	Camera  URL
	Pointer *Text
	List    []URL
	Map     map[string]Text
	private Text
	address URL
}

func full() holder {
	t, u := New(mark), NewURL("http://admin:"+mark+"@cam/a?key="+mark)
	return holder{t, u, &t, []URL{u}, map[string]Text{"a": t}, t, u}
}

// Nothing that Go prints by itself shows the text.
func TestNothingShows(t *testing.T) {
	h := full()
	var outs []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%e", "%p", "%20.15v", "%!"} {
		for _, v := range []any{h, &h, h.Token, &h.Token, h.Camera, h.List, h.Map, [1]any{h}} {
			outs = append(outs, fmt.Sprintf(verb, v))
		}
	}
	outs = append(outs, fmt.Sprint(h), errors.Join(fmt.Errorf("%w: %v", errors.ErrUnsupported, h.Token)).Error())
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		b, err := marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, string(b))
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("x", "token", h.Token, "camera", h.Camera, "all", h, "pointer", &h)
	}
	for _, out := range append(outs, log.String()) {
		low := strings.ToLower(out)
		for _, form := range []string{mark, fmt.Sprintf("%x", mark), fmt.Sprintf("%#v", []byte(mark))} {
			if strings.Contains(low, strings.ToLower(form)) {
				t.Errorf("%q shows the secret", out)
			}
		}
	}
	if !strings.Contains(log.String(), Hidden) || !strings.Contains(log.String(), "cam/a") {
		t.Errorf("the log says nothing at all: %s", log.String())
	}
}

// What is read comes out of Reveal, and equality is of the text.
func TestReveal(t *testing.T) {
	var h struct {
		Token  Text
		Camera URL
	}
	if err := json.Unmarshal([]byte(`{"Token":"a","Camera":"http://b:c@d/"}`), &h); err != nil {
		t.Fatal(err)
	}
	if h.Token.Reveal() != "a" || h.Camera.Reveal() != "http://b:c@d/" || h.Token.IsZero() || h.Camera.IsZero() {
		t.Errorf("%q, %q", h.Token.Reveal(), h.Camera.Reveal())
	}
	if !h.Token.Equal(New("a")) || h.Token.Equal(New("b")) || !h.Camera.Equal(NewURL("http://b:c@d/")) || h.Camera.Equal(NewURL("http://b:x@d/")) {
		t.Error("equality is not that of the text")
	}
	if !reflect.DeepEqual(New("a"), New("a")) || reflect.DeepEqual(New("a"), New("b")) {
		t.Error("deep equality is not that of the text")
	}
	var none Text
	if !none.IsZero() || none.String() != "" || !New("").IsZero() || fmt.Sprint(none) != "" {
		t.Error("nothing is something")
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "",
		"auto":                              "auto",
		"/dev/video0":                       "/dev/video0",
		"replay:/a/b.y4m":                   "replay:/a/b.y4m",
		"http://cam:8080/stream.mjpg":       "http://cam:8080/stream.mjpg",
		"http://admin:pw@cam:80/s":          "http://xxxxx@cam:80/s",
		"http://token@cam/":                 "http://xxxxx@cam/",
		"http://admin:p@w:/?#@cam/x":        "http://xxxxx@cam/x",
		"http://cam/v?user=a&pwd=b&size=2":  "http://cam/v?user=xxxxx&pwd=xxxxx&size=xxxxx",
		"http://cam/v?S3cret":               "http://cam/v?xxxxx",
		"http://cam/v;user=a;pwd=b":         "http://cam/xxxxx",
		"http://cam/user=a_password=b/c":    "http://cam/xxxxx/c",
		"http://cam/#S3cret":                "http://cam/#xxxxx",
		"mqtt://u:p@h:1883":                 "mqtt://xxxxx@h:1883",
		"htpp:/admin:pw@cam/":               "xxxxx@cam/",
		"admin:pw@cam":                      "xxxxx@cam",
		"admin:pw://x@cam":                  "xxxxx@cam",
		"pw@x://y@cam":                      "xxxxx@cam",
		"http://a:b@cam/?next=http://c:d@e": "http://xxxxx@e",
		"http://cam:80/a%20b?x=%zz":         "http://cam:80/a%20b?x=xxxxx",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q shows as %q, want %q", in, got, want)
		}
	}
}

// However an address is written, what stands before its last @ and the values
// of its query do not show.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{"http://a:" + mark + "@b", "x" + mark + "@y", "http://b/?a=" + mark, "a://b://" + mark + "@c", mark + "@://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := Redact(s)
		i := strings.LastIndexByte(s, '@')
		j := strings.Index(s, mark)
		if j < 0 || strings.Count(s, mark) > 1 || j > i {
			return
		}
		if scheme := strings.Index(s, "://"); j < scheme && !strings.ContainsFunc(s[:scheme], notOfScheme) {
			return // what stands for the scheme is no secret
		}
		if strings.Contains(out, mark) {
			t.Errorf("%q shows as %q", s, out)
		}
	})
}
