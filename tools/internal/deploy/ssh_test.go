package deploy

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshd serves ssh on a port of its own and runs commands as OpenSSH's server
// does: in a shell, without a terminal, going on when the client is gone. The
// client is the real one.
type sshd struct {
	config *ssh.ServerConfig
	// cut, if set, is asked before each command whether the line goes dead a
	// moment later.
	cut func(command string) bool
}

// overSSH puts a real ssh client in the place of the fake one, and a server at
// the other end.
func overSSH(t *testing.T, cut func(string) bool) {
	t.Helper()
	client, err := exec.LookPath("/usr/bin/ssh")
	if err != nil {
		t.Fatal("this test talks through the real ssh: apt-get install openssh-client")
	}
	dir := t.TempDir()
	key := func(name string) ssh.Signer {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return signer
	}
	host, user := key("host"), key("user")
	s := &sshd{cut: cut, config: &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "pi" || string(k.Marshal()) != string(user.PublicKey().Marshal()) {
			return nil, errors.New("who is that?")
		}
		return nil, nil
	}}}
	s.config.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go s.serve(l)

	put(t, dir, "known_hosts", "board "+string(ssh.MarshalAuthorizedKey(host.PublicKey())))
	put(t, dir, "config", fmt.Sprintf("Host board\n HostName 127.0.0.1\n Port %d\n HostKeyAlias board\n IdentityFile %s/user\n IdentitiesOnly yes\n UserKnownHostsFile %s/known_hosts\n StrictHostKeyChecking yes\n",
		l.Addr().(*net.TCPAddr).Port, dir, dir))
	// The programs of the board stand first in the path; ssh is the real one.
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\nexec "+client+" -F "+dir+"/config \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

func (s *sshd) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go s.connection(c)
	}
}

func (s *sshd) connection(c net.Conn) {
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for nc := range channels {
		ch, requests, err := nc.Accept()
		if err != nil {
			return
		}
		go s.session(c, ch, requests)
	}
}

func (s *sshd) session(c net.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
	for r := range requests {
		var exe struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exe) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		if s.cut != nil && s.cut(exe.Command) {
			time.AfterFunc(300*time.Millisecond, func() { c.Close() })
		}
		go func() {
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(command(ch, exe.Command))}))
			ch.Close()
		}()
	}
}

// command runs a command in a shell with pipes, and returns its exit status.
func command(ch ssh.Channel, line string) int {
	cmd := exec.Command("sh", "-c", line)
	in, err := cmd.StdinPipe()
	if err != nil {
		return 255
	}
	go func() {
		_, _ = io.Copy(in, ch)
		in.Close()
	}()
	// Real pipes, which break when the client is gone.
	out, w, err := os.Pipe()
	if err != nil {
		return 255
	}
	cmd.Stdout, cmd.Stderr = w, ch.Stderr()
	if err := cmd.Start(); err != nil {
		return 255
	}
	w.Close()
	_, _ = io.Copy(ch, out) // ends with an error when the line is dead
	out.Close()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// All of it through the real ssh: a version goes on, a sick one is taken back,
// another architecture does not get there, a stranger's key does not either.
func TestThroughSSH(t *testing.T) {
	dir := board(t, "arm64", map[string]string{"dies": "3\n"})
	overSSH(t, nil)
	for _, v := range []string{"1", "2"} {
		if out, err := deploy(t, dir, v, "arm64"); err != nil || installed(dir) != v || !strings.Contains(out, "healthy for 3 s") {
			t.Fatalf("version %s: %v, installed %q: %s", v, err, installed(dir), out)
		}
	}
	if out, err := deploy(t, dir, "3", "arm64"); !errors.Is(err, ErrRolledBack) || installed(dir) != "2" || !strings.Contains(out, "on fire") {
		t.Errorf("a sick version: %v, installed %q: %s", err, installed(dir), out)
	}
	if _, err := deploy(t, dir, "4", "armhf"); !errors.Is(err, ErrArchitecture) || installed(dir) != "2" {
		t.Errorf("another architecture: %v, installed %q", err, installed(dir))
	}
	overSSH(t, nil) // a server with another key, known to the client; the client's is new to it as well
	put(t, dir, "arch", "arm64\n")
	if _, err := deployTo(t, dir, "root@board", "5", "arm64"); err == nil || !strings.Contains(err.Error(), "Permission denied") || installed(dir) != "2" {
		t.Errorf("a user whose key is not known: %v, installed %q", err, installed(dir))
	}
}

// The board finishes what it began when the line goes dead in the middle.
func TestLineGoesDead(t *testing.T) {
	for version, sick := range map[string]bool{"2": false, "3": true} {
		dir := board(t, "arm64", map[string]string{"slow": "1", "dies": "3\n"})
		overSSH(t, func(command string) bool { return strings.Contains(command, "sh -s") && installed(dir) == "1" })
		if out, err := deploy(t, dir, "1", "arm64"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := deploy(t, dir, version, "arm64"); err == nil {
			t.Fatal("the line went dead and deploy says all is well")
		}
		if got := installed(dir); got != "1" {
			t.Fatalf("version %s was installed before the line went dead: this test proves nothing", got)
		}
		want, last := version, "restart "+version
		if sick {
			want, last = "1", "restart 1"
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			said, _ := os.ReadFile(filepath.Join(dir, "log"))
			kept, _ := os.ReadFile(filepath.Join(dir, "cache/current.deb"))
			_, after, _ := strings.Cut(string(said), "dpkg -i "+version)
			if installed(dir) == want && string(kept) == want && strings.Contains(after, last) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("version %s: the board stopped half way: installed %q, kept %q, log:\n%s", version, installed(dir), kept, said)
			}
		}
	}
}
