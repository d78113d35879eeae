package prose

import "testing"

func TestSlip(t *testing.T) {
	for _, bad := range []string{"reads 1 lines", "1 faces", "found 0 line.", "3 line(s)", "want one of , apa102, ws2812", "none of , x", "heads (, age)",
		"got &{1 2}", "map[a:1]", "%!d(string=x)", "error: <nil>", "{Pin:3 Low:true}", "INFO: Created TensorFlow Lite delegate", "cannot use config.Line value"} {
		if Slip(bad) == "" {
			t.Errorf("%q is not noticed", bad)
		}
	}
	for _, good := range []string{"reads 1 line; 21 lines; 0 lines", "0.1 seconds, 1.1 images/s", "signals: {lines: {face: {pin: GPIO22}}}", `{"time":"x","heads":[]}`,
		"epoch 1/3", "x[1 50 50 1]", "1 face, 2 heads", "head 1 loses", "a 0 line-up", "faces.y4m of Type", "password: ${FILE:/etc/mien/token}"} {
		if s := Slip(good); s != "" {
			t.Errorf("%q: %q", good, s)
		}
	}
}
