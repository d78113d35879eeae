package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// module is one of Go's that holds no program, but what a board starts with.
type module struct {
	path, version, sum string // the sum is that of go.sum
}

// Linux 6.12.47 as the Raspberry Pi's makers have it, built for the Pi 3, 4, 5
// and Zero 2 W, and the firmware that starts it. They are fetched only when an
// image is made.
var (
	kernelModule   = module{"github.com/gokrazy/kernel.rpi", "v0.0.0-20251127164438-9778ec0261de", "h1:RSLWj1Ska9s4cl+n/bC5LY4s8vLr+tZoO2vMm/wGP64="}
	firmwareModule = module{"github.com/gokrazy/firmware", "v0.0.0-20260522070551-527ce0ed43cf", "h1:WRmvIwhtcWJfHnrfpfXWPh3Xq6Lztn0y5l3li+NjaYw="}
)

// Fetch returns the folders of the kernel and of the firmware, which the go
// command has or gets from the module proxy. It wants Go, and the network the
// first time.
func Fetch(ctx context.Context) (kernel, firmware string, err error) {
	if kernel, err = kernelModule.fetch(ctx); err != nil {
		return "", "", err
	}
	firmware, err = firmwareModule.fetch(ctx)
	return kernel, firmware, err
}

func (m module) fetch(ctx context.Context) (dir string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.path+"@"+m.version)
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	cmd.Dir = os.TempDir() // in no module: it is none's requirement
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var told struct{ Dir, Sum, Error string }
	if bad := json.Unmarshal(out, &told); err != nil || bad != nil {
		return "", fmt.Errorf("image: go mod download %s@%s: %v %s %s", m.path, m.version, err, told.Error, bytes.TrimSpace(stderr.Bytes()))
	}
	if told.Sum != m.sum {
		return "", fmt.Errorf("image: %s@%s has the sum %s, want %s", m.path, m.version, told.Sum, m.sum)
	}
	return told.Dir, nil
}
