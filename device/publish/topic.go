package publish

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// level writes a name as one level of a topic. What MQTT gives a meaning
// (/ + #) and what brokers hang up at (control characters and code points that
// are no characters; MQTT 5, 1.5.4) is written as in a URL, as %2B; so is the
// percent sign, so that no two names become one.
func level(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		if special(r) || strings.ContainsRune("/+#%", r) || i == 0 && r == '$' {
			for _, c := range []byte(name[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

// special reports what must not be in a topic: controls, noncharacters and,
// as utf8.RuneError, what is not UTF-8.
func special(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
}

// Bounds of a topic: the first is ours, the second leaves room below the 200
// levels that mosquitto takes.
const (
	maxTopic  = 200 // bytes
	maxLevels = 100
)

// CheckTopic says what is wrong with the beginning of topics
// (https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901241).
func CheckTopic(topic string) error {
	switch {
	case topic == "":
		return errors.New("publish: topic is empty")
	case len(topic) > maxTopic:
		return fmt.Errorf("publish: topic %.40q... is longer than %d bytes", topic, maxTopic)
	case strings.Count(topic, "/") >= maxLevels:
		return fmt.Errorf("publish: topic %.40q... has more than %d levels", topic, maxLevels)
	case strings.ContainsAny(topic, "+#"):
		return fmt.Errorf("publish: topic %q: wildcards cannot be published to", topic)
	case strings.HasPrefix(topic, "$"):
		return fmt.Errorf("publish: topic %q: names that begin with $ are the broker's own", topic)
	case !clean(topic):
		return fmt.Errorf("publish: topic %q holds what is no character; brokers hang up at that", topic)
	}
	return nil
}

// clean reports whether a topic can be published to at all.
func clean(topic string) bool {
	return topic != "" && utf8.ValidString(topic) && !strings.ContainsFunc(topic, func(r rune) bool { return special(r) || r == '+' || r == '#' })
}
