package main

import (
	"strings"
	"testing"
)

// The list names what is inside, data's terms with it; the texts are there.
func TestLicences(t *testing.T) {
	list, err := miend("licences")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\ngithub.com/alecthomas/kong v", "EPL-2.0", "non-commercial", "pigo cascades", "BlazeFace"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list has no %q:\n%s", want, list)
		}
	}
	if text, err := miend("licences", "kong"); err != nil || !strings.Contains(text, "Alec Thomas") || !strings.Contains(text, "WITHOUT WARRANTY OF ANY KIND") {
		t.Errorf("the text of kong: %v: %.300s", err, text)
	}
	if bill, err := miend("licences", "--spdx"); err != nil || !strings.Contains(bill, `"spdxVersion": "SPDX-2.3"`) {
		t.Errorf("the bill of materials: %v: %.300s", err, bill)
	}
}
