package fleet

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mien/device/page"
	"mien/runtime/lockfile"
)

// ServeOptions say how a hub is to be.
type ServeOptions struct {
	Dir      string
	Listen   string   // of the server inside
	Hosts    []string // by which boards call it, beside this machine's own name and addresses
	Disk     int64    // bytes
	Sync     time.Duration
	Servers  []string // another's cluster in place of the server inside
	Cluster  *Cluster // as whom
	Replicas int      // servers of the cluster that hold each stream
	Page     PageOptions
	Out      io.Writer
	Ready    func() // called when boards can connect; nil for nothing
}

// Serve is a hub until ctx ends: the server, where it is the one inside, the
// streams and stores, and an eye on how full they are.
func Serve(ctx context.Context, o ServeOptions) (err error) {
	h, err := MakeHome(o.Dir)
	if err != nil {
		return err
	}
	lock, err := lockfile.Take(h.path(lockfile.Name), 10*time.Second)
	if err != nil {
		return fmt.Errorf("fleet: another hub runs in %s: %w", o.Dir, err)
	}
	defer lock.Release()
	o.Page.Hosts = append(append(o.Page.Hosts, o.Hosts...), ownNames()...)
	guard, err := h.guardPage(o.Page)
	if err != nil {
		return err
	}
	var shows net.Listener
	if guard != nil {
		if shows, err = guard.Listen(); err != nil {
			return fmt.Errorf("%w (--page names another address, or none)", err)
		}
		defer shows.Close()
	}
	about := About{Servers: o.Servers, Cluster: o.Cluster}
	var inside []nats.Option
	if o.Cluster == nil {
		host, _, err := net.SplitHostPort(o.Listen)
		if err != nil {
			return fmt.Errorf("fleet: %w", err)
		}
		own := ownNames()
		names := slices.Concat(o.Hosts, own)
		if host != "" {
			names = append(names, host)
		}
		s, err := h.Start(ServerOptions{Listen: o.Listen, Hosts: names, Disk: o.Disk, Sync: o.Sync, Log: &logger{o.Out}})
		if err != nil {
			return err
		}
		defer s.Stop()
		inside = append(inside, nats.InProcessServer(s.s)) // past the crowd at the door
		_, port, err := net.SplitHostPort(s.Address())
		if err != nil {
			return err
		}
		about.Servers, about.Tools = reached(host, port, o.Hosts, own)
	} else {
		about.Tools = o.Servers[0]
	}
	if err := h.WriteAbout(about); err != nil {
		return err
	}
	nc, js, err := h.Connect(ctx, about.Tools, inside...)
	if err != nil {
		return err
	}
	defer nc.Close()
	all, err := settle(ctx, js, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "hub on %s\n", about.Tools)
	for _, u := range all {
		fmt.Fprintf(o.Out, "  %v: %s\n", u, u.About)
	}
	if o.Ready != nil {
		o.Ready()
	}
	if guard != nil {
		var showing sync.WaitGroup
		defer showing.Wait() // before the connection is closed
		showing.Go(func() { h.show(ctx, js, guard, shows, o.Out) })
	}
	watch(ctx, js, o.Out)
	return nil
}

// reached says where boards reach a server that listens on host, under the names that
// it was given and its machine's own, and where tools on its machine do.
func reached(host, port string, given, own []string) (boards []string, tools string) {
	at := func(host string) string { return "tls://" + net.JoinHostPort(host, port) }
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) { // there, and nowhere else
		own, tools = []string{host}, at(host)
	} else {
		own, tools = slices.DeleteFunc(slices.Clone(own), func(host string) bool {
			ip := net.ParseIP(host)
			return host == "localhost" || ip != nil && ip.IsLoopback()
		}), at("127.0.0.1")
	}
	for _, host := range slices.Concat(given, own) {
		boards = append(boards, at(host))
	}
	return boards, tools
}

// show serves the page until ctx ends. The hub goes on whatever becomes of it.
func (h *Home) show(ctx context.Context, js jetstream.JetStream, guard *page.Guard, l net.Listener, out io.Writer) {
	v, err := h.patientWatch(ctx, js)
	for ; err != nil; v, err = h.patientWatch(ctx, js) {
		if ctx.Err() != nil {
			return
		}
		fmt.Fprintf(out, "the page is not there yet: %v\n", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Second):
		}
	}
	defer v.Stop()
	fmt.Fprintf(out, "page on http://%s\n", l.Addr())
	if guard.Needed() {
		fmt.Fprintf(out, "  it asks for the token in %s\n", h.path(tokenFile))
	}
	if err := NewPage(guard, js, v).Serve(ctx, l); err != nil {
		fmt.Fprintln(out, err)
	}
}

// patientWatch has time, as settle has.
func (h *Home) patientWatch(ctx context.Context, js jetstream.JetStream) (*View, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return h.Watch(ctx, js)
}

// settle makes the streams and stores. It has time: thousands of boards may come at
// the same moment.
func settle(ctx context.Context, js jetstream.JetStream, o ServeOptions) ([]Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := Ensure(ctx, js, o.Disk, max(o.Replicas, 1)); err != nil {
		return nil, err
	}
	return Use(ctx, js)
}

// watch says when a stream or a store is so full that less is kept than its age
// promises, once until it is so no more, and removes what no board wants any more.
func watch(ctx context.Context, js jetstream.JetStream, out io.Writer) {
	told := map[string]bool{}
	var tidied time.Time
	for {
		if now := time.Now(); now.Sub(tidied) >= tidyEvery {
			tidied = now
			removed, err := Tidy(ctx, js, now)
			for _, what := range removed {
				fmt.Fprintln(out, what)
			}
			if err != nil && ctx.Err() == nil {
				fmt.Fprintln(out, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Minute):
		}
		all, err := Use(ctx, js)
		if err != nil {
			fmt.Fprintln(out, err)
		}
		for _, u := range all {
			if u.Short() && !told[u.Name] {
				fmt.Fprintf(out, "%s is full (%.0f MiB): what is older than %s goes, before its time; give the hub more disk (--disk)\n",
					u.Name, float64(u.Bound)/(1<<20), time.Since(u.Oldest).Round(time.Minute))
			}
			told[u.Name] = u.Short()
		}
	}
}

// ownNames are the names and addresses by which this machine is called.
func ownNames() (names []string) {
	if host, err := os.Hostname(); err == nil {
		names = append(names, host, host+".local")
	}
	names = append(names, "localhost")
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			names = append(names, n.IP.String())
		}
	}
	return names
}

// logger passes on what of the server's words somebody has to do something about.
type logger struct{ w io.Writer }

func (l *logger) say(level, format string, v []any) {
	fmt.Fprintf(l.w, "server: "+level+format+"\n", v...)
}

func (*logger) Noticef(string, ...any)           {}
func (l *logger) Warnf(format string, v ...any)  { l.say("warning: ", format, v) }
func (l *logger) Errorf(format string, v ...any) { l.say("", format, v) }
func (l *logger) Fatalf(format string, v ...any) { l.say("fatal: ", format, v) }
func (*logger) Debugf(string, ...any)            {}
func (*logger) Tracef(string, ...any)            {}
