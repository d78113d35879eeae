package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	board "mien/device/fleet"
	"mien/runtime/atomicfile"
	"mien/tools/fleet"
)

type fleetCmd struct {
	Serve    fleetServeCmd    `cmd:"" help:"Be the hub of a fleet: a NATS server with all that boards need, or an eye on another's cluster."`
	Enrol    fleetEnrolCmd    `cmd:"" help:"Make credentials for a board; those that it had are revoked."`
	Hire     fleetHireCmd     `cmd:"" help:"Make credentials for machines that begin or do training runs (mien worker)."`
	Ls       fleetLsCmd       `cmd:"" help:"List the boards, and how they are, the worst first."`
	Watch    fleetWatchCmd    `cmd:"" help:"Say what changes about the boards, one line a change, until it is interrupted."`
	Forget   fleetForgetCmd   `cmd:"" help:"Remove all that is stored of a board, and revoke its credentials."`
	Command  fleetCommandCmd  `cmd:"" help:"Ask a board to do something that its mien.yaml allows."`
	Rollout  fleetRolloutCmd  `cmd:"" help:"Bring a signed model or card image to many boards, stage by stage; it halts and goes back by itself."`
	Rollback fleetRollbackCmd `cmd:"" help:"Have all boards go back that took a roll-out."`
}

// hubFlag is of all commands that work on a hub.
type hubFlag struct {
	Hub string `placeholder:"DIR" default:"fleet" help:"Folder of the hub, with its keys and what is stored (${default})."`
}

type fleetServeCmd struct {
	hubFlag
	Listen    string        `placeholder:"HOST:PORT" default:":4222" help:"Where the server listens, for TLS alone (${default})."`
	Host      []string      `placeholder:"NAME" help:"A name or address by which boards call this machine, beside those that it has; repeat for several."`
	Disk      int64         `placeholder:"GIB" default:"10" help:"GiB that streams and stores may take together; when they are full the oldest goes (${default})." least:"1"`
	Sync      time.Duration `default:"10s" help:"How often what was stored is written through to the disk: so much is lost in a power cut, nothing in a crash. 0s: each message before it is acknowledged, which is slow (${default})." least:"0s"`
	Server    []string      `placeholder:"URL" help:"Servers of a cluster in place of the one inside; repeat for several."`
	User      string        `placeholder:"FILE" help:"Credentials that may all in the fleet's account there."`
	Signer    string        `placeholder:"FILE" help:"Seed of that account's key, or of a signing key of it, for enrolling."`
	Account   string        `placeholder:"KEY" help:"Public key of that account."`
	CA        string        `placeholder:"FILE" help:"Certificates that sign the cluster's; by default those of the system."`
	Cert      string        `name:"certificate" placeholder:"FILE" help:"Certificate of this hub's own, for a cluster that asks for one."`
	Key       string        `name:"private-key" placeholder:"FILE" help:"Its key."`
	Replicas  int           `default:"1" help:"Servers of the cluster that hold each stream (${default})." least:"1" most:"5"`
	Page      string        `placeholder:"HOST:PORT" default:"127.0.0.1:8081" help:"Where the fleet's page listens; none for no page. Beyond loopback it asks for the token in page.token in the hub's folder, which is made (${default})." check:"page"`
	PageProxy []string      `placeholder:"ADDRESS" help:"A reverse proxy of the page, or a network of them, whose word about its clients is believed; repeat for several." check:"proxy"`
}

// Run is a hub until it is interrupted.
func (c fleetServeCmd) Run(e env) error {
	o := fleet.ServeOptions{Dir: c.Hub, Listen: c.Listen, Hosts: c.Host, Disk: c.Disk << 30, Sync: c.Sync, Servers: c.Server, Replicas: c.Replicas, Out: e.stdout}
	if len(c.Server) > 0 {
		if c.User == "" || c.Signer == "" || c.Account == "" {
			return errors.New("--server is another's cluster, which takes --user, --signer and --account too")
		}
		if (c.Cert == "") != (c.Key == "") {
			return errors.New("--certificate and --private-key are one pair: give both or none")
		}
		o.Cluster = &fleet.Cluster{User: c.User, Signer: c.Signer, Account: c.Account, CA: c.CA, Certificate: c.Cert, PrivateKey: c.Key}
	}
	if c.Page != "none" {
		o.Page = fleet.PageOptions{Listen: c.Page, Proxies: c.PageProxy}
	}
	return fleet.Serve(e.ctx, o)
}

type fleetEnrolCmd struct {
	hubFlag
	Board string `arg:"" placeholder:"SITE/BOARD" help:"The board: its site and its name there." check:"fleetboard"`
	Out   string `placeholder:"DIR" help:"Folder for its files (SITE-BOARD)."`
}

// Run makes the files that a board needs, and prints what goes into its
// configuration.
func (c fleetEnrolCmd) Run(e env) error {
	h, err := fleet.OpenHome(c.Hub)
	if err != nil {
		return err
	}
	id, err := board.ParseID(c.Board)
	if err != nil {
		return err
	}
	about, err := h.About()
	if err != nil {
		return err
	}
	creds, before, err := h.Enrol(id)
	if err != nil {
		return err
	}
	out := cmp.Or(c.Out, id.Site+"-"+id.Board)
	ca, err := hand(h, out, "fleet.creds", creds, 0o640)
	if err != nil {
		return err
	}
	lines := fmt.Sprintf("name: %s\nfleet:\n  servers: [%s]\n  credentials: /etc/mien/fleet.creds\n  site: %s\n  key: %s\n", id.Board, strings.Join(about.Servers, ", "), id.Site, h.PublicKey())
	if ca != "" {
		lines += "  ca: /etc/mien/" + filepath.Base(ca) + "\n"
	}
	if err := atomicfile.Write(filepath.Join(out, "fleet.yaml"), []byte(lines)); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s holds the files of %v: put them into /etc/mien on the board, for root and the group mien alone, and the lines of fleet.yaml into its mien.yaml\n", out, id)
	if before == nil {
		return nil
	}
	return h.Revoke(e.ctx, *before)
}

// hand writes credentials into a folder, for whoever mode lets read them, and beside
// them what the hub is known by, whose path is empty where the system knows it.
func hand(h *fleet.Home, dir, name string, creds []byte, mode os.FileMode) (ca string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	secret := filepath.Join(dir, name)
	if err := errors.Join(atomicfile.Write(secret, creds), os.Chmod(secret, mode)); err != nil {
		return "", err
	}
	known, err := h.CA()
	if err != nil || known == nil {
		return "", err
	}
	ca = filepath.Join(dir, "fleet-ca.pem")
	return ca, atomicfile.Write(ca, known)
}

type fleetHireCmd struct {
	hubFlag
	Name string `arg:"" help:"What to call them."`
	Out  string `placeholder:"DIR" help:"Folder for the files (by default of that name)."`
}

// Run makes the files of a worker, and says how it is started.
func (c fleetHireCmd) Run(e env) error {
	h, err := fleet.OpenHome(c.Hub)
	if err != nil {
		return err
	}
	about, err := h.About()
	if err != nil {
		return err
	}
	creds, before, err := h.Hire(c.Name)
	if err != nil {
		return err
	}
	out := cmp.Or(c.Out, c.Name)
	const secret = "work.creds"
	ca, err := hand(h, out, secret, creds, 0o600)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("mien worker --fleet %s --credentials %s", strings.Join(about.Servers, ","), filepath.Join(out, secret))
	if ca != "" {
		line += " --ca " + ca
	}
	fmt.Fprintf(e.stdout, "%s\n", line)
	if before == nil {
		return nil
	}
	return h.Revoke(e.ctx, *before)
}

type fleetLsCmd struct {
	hubFlag
	JSON bool `help:"Print all that is known of them, as JSON."`
}

// Run lists the boards that are enrolled.
func (c fleetLsCmd) Run(e env) error {
	v, done, err := c.watch(e)
	if err != nil {
		return err
	}
	defer done()
	all, err := v.Boards(time.Now())
	if err != nil {
		return err
	}
	slices.SortFunc(all, fleet.Worst)
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(all)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BOARD\tSTATE\tHEARD OF\tVERSION\tMODEL\tQUEUED\tLOST\tWITH FACE\tUNCERTAIN\tDRIFT\tTROUBLE")
	for _, b := range all {
		h, heard, drift, trouble := board.Health{Version: "-", Model: "-"}, "-", "-", "-"
		if b.Health != nil {
			h, heard = *b.Health, time.Since(b.Seen).Round(time.Second).String()+" ago"
		}
		if len(b.Drift) > 0 {
			drift = fmt.Sprintf("%.2f", b.Drift[0].Distance)
		}
		if len(b.Troubles) > 0 {
			trouble = b.Troubles[0].Text
		}
		fmt.Fprintf(w, "%v\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", b.ID(), b.Now, heard, h.Version, h.Model, h.Queued, h.Lost,
			percent(b.Rates.WithFace), percent(b.Rates.Uncertain), drift, trouble)
	}
	return w.Flush()
}

// percent is a part in words; - where there is none.
func percent(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100**v)
}

// opened is a hub that is talked to.
type opened struct {
	*fleet.Home
	nc *nats.Conn
	js jetstream.JetStream
}

// open opens the folder of the hub, and connects to it until the connection is closed.
func (f hubFlag) open(e env) (*opened, error) {
	h, err := fleet.OpenHome(f.Hub)
	if err != nil {
		return nil, err
	}
	nc, js, err := h.Dial(e.ctx)
	if err != nil {
		return nil, err
	}
	return &opened{h, nc, js}, nil
}

// watch follows what the boards of the hub say, until done is called.
func (f hubFlag) watch(e env) (v *fleet.View, done func(), err error) {
	h, err := f.open(e)
	if err != nil {
		return nil, nil, err
	}
	if v, err = h.Watch(e.ctx, h.js); err != nil {
		h.nc.Close()
		return nil, nil, err
	}
	return v, func() { v.Stop(); h.nc.Close() }, nil
}

type fleetWatchCmd struct {
	hubFlag
	JSON bool `help:"Print each change as JSON."`
}

// Run says what changes about the boards.
func (c fleetWatchCmd) Run(e env) error {
	v, done, err := c.watch(e)
	if err != nil {
		return err
	}
	defer done()
	return v.Changes(e.ctx, time.Second, func(change fleet.Change) error {
		if c.JSON {
			return json.NewEncoder(e.stdout).Encode(change)
		}
		_, err := fmt.Fprintln(e.stdout, change)
		return err
	})
}

type fleetForgetCmd struct {
	hubFlag
	Board string `arg:"" placeholder:"SITE/BOARD" help:"The board." check:"fleetboard"`
}

// Run forgets a board. Its credentials are revoked first, so that nothing comes
// after what is removed.
func (c fleetForgetCmd) Run(e env) error {
	id, err := board.ParseID(c.Board)
	if err != nil {
		return err
	}
	h, err := c.open(e)
	if err != nil {
		return err
	}
	defer h.nc.Close()
	purged, err := h.Forget(e.ctx, h.js, id)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%v is forgotten: %d messages were removed, its credentials are revoked\n", id, purged)
	return nil
}

type fleetCommandCmd struct {
	hubFlag
	Board   string   `arg:"" placeholder:"SITE/BOARD" help:"The board." check:"fleetboard"`
	Command string   `arg:"" help:"identify, doctor, restart or set." enum:"identify,doctor,restart,set"`
	Args    []string `arg:"" optional:"" placeholder:"KEY=VALUE" help:"Of set: keys of mien.yaml that the board lets be set; a list is a,b." check:"set"`
	JSON    bool     `help:"Print the answer as JSON."`
}

// Run asks a board and prints its answer.
func (c fleetCommandCmd) Run(e env) error {
	id, err := board.ParseID(c.Board)
	if err != nil {
		return err
	}
	cmd := board.Command{Name: c.Command, By: by(), Args: map[string]string{}}
	for _, a := range c.Args {
		k, v, _ := strings.Cut(a, "=")
		cmd.Args[k] = v
	}
	h, err := c.open(e)
	if err != nil {
		return err
	}
	defer h.nc.Close()
	answer, err := h.Command(e.ctx, h.nc, id, cmd)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(answer)
	}
	if !answer.Done {
		return fmt.Errorf("%v: %s", id, answer.Outcome)
	}
	_, err = fmt.Fprintln(e.stdout, strings.TrimSpace(answer.Outcome))
	return err
}

// by is who asks, for a board's audit.
func by() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
