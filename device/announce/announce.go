// Package announce tells a device's network how its page is called: by
// multicast DNS (RFC 6762) its address has a name such as mien.local, and by
// DNS-SD (RFC 6763) browsers of services list the page.
package announce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"

	"github.com/brutella/dnssd"
	dnslog "github.com/brutella/dnssd/log"
)

// Options say what is announced.
type Options struct {
	Host string // the name under .local
	Name string // of the device, as lists of services show it
	Port int    // of the page
}

// host is a label of a host's name (RFC 1123, 2.1).
var host = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$`)

// Check says what is wrong with a name under .local.
func Check(name string) error {
	if !host.MatchString(name) {
		return fmt.Errorf("announce: %q is no name such as mien: small letters, digits and hyphens, at most 60", name)
	}
	return nil
}

// others is how many devices of one name a network may have.
const others = 9

// Names are those by which clients may call a device: its own, and those that
// it takes instead where others have that already.
func Names(name string) (all []string) {
	all = []string{name + ".local"}
	for i := 2; i <= others; i++ {
		all = append(all, name+"-"+strconv.Itoa(i)+".local")
	}
	return all
}

// Run announces until ctx ends, then takes it back. Before it answers to the
// name it asks whether another device does, and takes the next one if so.
func Run(ctx context.Context, o Options) error {
	if err := Check(o.Host); err != nil {
		return err
	}
	dnslog.Info.SetOutput(io.Discard) // it would write to the standard output
	if !connected() {
		return errors.New("announce: no network that carries multicast is up yet")
	}
	s, err := dnssd.NewService(dnssd.Config{Name: o.Name, Type: "_http._tcp", Host: o.Host, Port: o.Port, Text: map[string]string{"path": "/"}})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	r, err := dnssd.NewResponder()
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if _, err := r.Add(s); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if err := r.Respond(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("announce: %s.local: %w", o.Host, err)
	}
	return nil
}

// connected reports whether there is anybody to announce to.
func connected() bool {
	all, err := net.Interfaces()
	if err != nil {
		return false
	}
	for _, i := range all {
		if addrs, err := i.Addrs(); err == nil && len(addrs) > 0 && i.Flags&(net.FlagUp|net.FlagMulticast|net.FlagLoopback) == net.FlagUp|net.FlagMulticast {
			return true
		}
	}
	return false
}

// PortOf returns the port of an address at which other machines reach it, and
// whether they do.
func PortOf(addr string) (int, bool) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, false
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return 0, false
	}
	n, err := strconv.Atoi(port)
	return n, err == nil && n > 0
}
