package system

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mien/device/internal/retry"
)

// network gets every wired interface an address, by DHCP; for IPv6 the kernel
// does it. Interfaces may come and go, as USB adapters do.
type network struct {
	log  *log
	name string // of the host, which the server is told

	mu     sync.Mutex
	leases map[string]*dhcpv4.DHCPv4 // by interface
	change chan struct{}             // closed when there is a lease more
}

func newNetwork(l *log, name string) *network {
	return &network{log: l, name: strings.TrimSpace(name), leases: map[string]*dhcpv4.DHCPv4{}, change: make(chan struct{})}
}

// up says whether there is an address.
func (n *network) up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.leases) > 0
}

// wait waits for an address.
func (n *network) wait(most time.Duration) bool {
	n.mu.Lock()
	c, have := n.change, len(n.leases) > 0
	n.mu.Unlock()
	if have {
		return true
	}
	select {
	case <-c:
		return true
	case <-time.After(most):
		return false
	}
}

// timeServers are those that the network names, and the pool's.
func (n *network) timeServers() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, lease := range n.leases {
		for _, ip := range lease.NTPServers() {
			all = append(all, ip.String())
		}
	}
	return append(all, pool...)
}

// run follows the interfaces.
func (n *network) run() {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		n.log.try("network", netlink.LinkSetUp(lo))
	}
	news := make(chan netlink.LinkUpdate, 16)
	if err := netlink.LinkSubscribeWithOptions(news, nil, netlink.LinkSubscribeOptions{ListExisting: true,
		ErrorCallback: func(err error) { n.log.say("network: %v", err) }}); err != nil {
		n.log.say("network: %v", err)
		return
	}
	workers := map[string]context.CancelFunc{}
	for u := range news {
		a := u.Attrs()
		if u.Link.Type() != "device" || a.Flags&net.FlagLoopback != 0 || len(a.HardwareAddr) != 6 {
			continue
		}
		gone := u.Header.Type == unix.RTM_DELLINK
		if a.Flags&net.FlagUp == 0 && !gone {
			n.log.try("network "+a.Name, netlink.LinkSetUp(u.Link))
		}
		running := !gone && a.RawFlags&unix.IFF_RUNNING != 0 && a.Flags&net.FlagUp != 0
		if stop := workers[a.Name]; stop != nil && !running {
			stop()
			delete(workers, a.Name)
		} else if stop == nil && running {
			ctx, cancel := context.WithCancel(context.Background())
			workers[a.Name] = cancel
			go n.follow(ctx, u.Link)
		}
	}
}

// follow keeps an address while the interface is connected.
func (n *network) follow(ctx context.Context, link netlink.Link) {
	name := link.Attrs().Name
	for ctx.Err() == nil {
		if err := n.lease(ctx, link); err != nil && ctx.Err() == nil {
			n.log.say("network %s: %v", name, err)
			retry.Pause(ctx, 5*time.Second)
		}
		n.drop(link)
	}
}

// lease asks for an address and keeps it until it cannot be had any more.
func (n *network) lease(ctx context.Context, link netlink.Link) error {
	name := link.Attrs().Name
	c, err := nclient4.New(name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(4))
	if err != nil {
		return err
	}
	defer c.Close()
	hello := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptHostName(n.name)),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionNTPServers)}
	lease, err := c.Request(ctx, hello...)
	if err != nil {
		return fmt.Errorf("no address by DHCP: %w", err)
	}
	for {
		if err := n.take(link, lease.ACK); err != nil {
			return err
		}
		long := max(lease.ACK.IPAddressLeaseTime(time.Hour), time.Minute)
		end := time.Now().Add(long)
		for retry.Pause(ctx, long/2) {
			if lease, err = c.Renew(ctx, lease, hello...); err == nil {
				break
			}
			if long = time.Until(end); long < 10*time.Second {
				return fmt.Errorf("the address is not renewed: %w", err)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// take uses what a server has granted.
func (n *network) take(link netlink.Link, ack *dhcpv4.DHCPv4) error {
	name := link.Attrs().Name
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: mask}}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("address %v: %w", address, err)
	}
	if r := ack.Router(); len(r) > 0 {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: r[0], Priority: 100 + link.Attrs().Index}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route by %v: %w", r[0], err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leases[name] == nil {
		n.log.say("network %s: %v", name, address.IPNet)
		close(n.change)
		n.change = make(chan struct{})
	}
	n.leases[name] = ack
	return n.names()
}

// drop gives an address up.
func (n *network) drop(link netlink.Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leases[link.Attrs().Name] == nil {
		return
	}
	delete(n.leases, link.Attrs().Name)
	n.log.say("network %s: no address any more", link.Attrs().Name)
	all, err := netlink.AddrList(link, netlink.FAMILY_V4)
	n.log.try("network", err)
	for _, a := range all {
		_ = netlink.AddrDel(link, &a) // it is gone with its interface, or replaced by the next
	}
	n.log.try("network", n.names())
}

// names writes which servers know names.
func (n *network) names() error {
	var text strings.Builder
	var all []string
	for _, lease := range n.leases {
		for _, ip := range lease.DNS() {
			all = append(all, ip.String())
		}
	}
	slices.Sort(all)
	for _, ip := range slices.Compact(all) {
		fmt.Fprintf(&text, "nameserver %s\n", ip)
	}
	return os.WriteFile("/etc/resolv.conf", []byte(text.String()), 0o644)
}
