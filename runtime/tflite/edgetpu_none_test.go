//go:build linux && (amd64 || arm64) && cgo && tflite && !edgetpu

package tflite

import (
	"strings"
	"testing"

	"mien/runtime/infer/infertest"
	"mien/runtime/model"
)

func TestEdgeTPUInABuildWithoutIt(t *testing.T) {
	e, err := Open(infertest.Marshal(t, infertest.Network(1, model.Emotion)), Options{EdgeTPU: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !strings.Contains(e.Warning(), "-tags edgetpu") || !strings.Contains(e.Engine(), "XNNPACK") {
		t.Errorf("Warning() = %q, Engine() = %q", e.Warning(), e.Engine())
	}
}
