// Package deploy puts a firmware package on a board over ssh: it checks the
// architecture first, installs, and rolls back when the new firmware does not
// come up healthy. It uses the user's own ssh, with its keys and its config.
package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Options of a deployment.
type Options struct {
	Host    string    // as ssh takes it: name, or user@name
	Package string    // the .deb that make deb made
	Watch   int       // seconds that the firmware has to stay up; 0 means 10
	SSH     string    // the ssh program; "" means ssh
	Out     io.Writer // what the board says; nil means nothing
}

//go:embed install.sh
var install string

// asRoot runs install.sh: %s is the package there, %x its sum, %d the seconds.
const asRoot = `sudo=; [ "$(id -u)" = 0 ] || sudo="sudo -n"
if ! $sudo true 2>/dev/null; then
    echo "board: this user may not become root without a password (sudo -n)"
    rm -f %[1]s
    exit 2
fi
exec $sudo sh -s %[1]s %[2]x %[3]d`

// Errors of a board that is as it was before.
var (
	ErrArchitecture = errors.New("deploy: the package is for another architecture")
	ErrRolledBack   = errors.New("deploy: the new firmware was not healthy; the board is as it was before")
)

// Run deploys.
func Run(ctx context.Context, o Options) error {
	if strings.HasPrefix(o.Host, "-") || o.Host == "" {
		return fmt.Errorf("deploy: host %q is no host name", o.Host)
	}
	data, err := os.ReadFile(o.Package)
	if err != nil {
		return fmt.Errorf("deploy: %w (make deb BOARD=... makes it)", err)
	}
	arch, err := architecture(o.Package)
	if err != nil {
		return err
	}
	there, err := o.ssh(ctx, nil, "dpkg --print-architecture")
	if err != nil {
		return fmt.Errorf("deploy: ask %s for its architecture: %w", o.Host, err)
	}
	if there = strings.TrimSpace(there); there != arch {
		return fmt.Errorf("%w: %s is for %s, %s is %s", ErrArchitecture, filepath.Base(o.Package), arch, o.Host, there)
	}
	place, err := o.ssh(ctx, bytes.NewReader(data), `f=$(mktemp /tmp/mien-XXXXXX.deb) && cat >"$f" && echo "$f"`)
	if err != nil {
		return fmt.Errorf("deploy: copy %s to %s: %w", o.Package, o.Host, err)
	}
	place = strings.TrimSpace(place)
	if !strings.HasPrefix(place, "/tmp/mien-") || strings.ContainsAny(place, " '\"\n") {
		return fmt.Errorf("deploy: %s puts the package at %q, want a file in /tmp", o.Host, place)
	}
	watch := o.Watch
	if watch == 0 {
		watch = 10
	}
	out, err := o.ssh(ctx, strings.NewReader(install), fmt.Sprintf(asRoot, place, sha256.Sum256(data), watch))
	if o.Out != nil {
		_, _ = io.WriteString(o.Out, out) // what failed is in err, not here
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 4 {
		return ErrRolledBack
	}
	if err != nil {
		return fmt.Errorf("deploy: install on %s: %w: %s", o.Host, err, lastLine(out))
	}
	return nil
}

// architecture reads it from the name that every Debian package has:
// name_version_architecture.deb. dpkg on the board checks the inside.
func architecture(path string) (string, error) {
	parts := strings.Split(strings.TrimSuffix(filepath.Base(path), ".deb"), "_")
	if len(parts) != 3 || !strings.HasSuffix(path, ".deb") {
		return "", fmt.Errorf("deploy: %s is not called NAME_VERSION_ARCHITECTURE.deb", path)
	}
	return parts[2], nil
}

// ssh runs a command on the board and returns its output.
func (o Options) ssh(ctx context.Context, in io.Reader, command string) (string, error) {
	program := o.SSH
	if program == "" {
		program = "ssh"
	}
	cmd := exec.CommandContext(ctx, program, "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "--", o.Host, command)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &stderr
	out, err := cmd.Output()
	if err != nil && stderr.Len() > 0 {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}
