package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ServerOptions say how the server inside is to be.
type ServerOptions struct {
	Listen string   // host:port
	Hosts  []string // names and addresses by which boards call it
	Disk   int64    // bytes that all streams and stores may take together
	Log    server.Logger
	// Sync is how often what was stored is written through to the disk: what came
	// after the last time is lost in a power cut, not in a crash of the program. 0
	// means every message before it is acknowledged.
	Sync time.Duration
}

// Server is a running hub.
type Server struct {
	home *Home
	s    *server.Server
}

// Start starts the server of a home. It serves TLS alone and lets in only who has
// credentials of this home.
func (h *Home) Start(o ServerOptions) (*Server, error) {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < 0 || number > 65535 {
		return nil, fmt.Errorf("fleet: port %q is not between 0 and 65535", port)
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	cert, err := h.certificate(o.Hosts)
	if err != nil {
		return nil, err
	}
	operator, err := h.operatorClaims()
	if err != nil {
		return nil, err
	}
	resolver, err := h.resolver()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(h.path("jetstream"), 0o700); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	opts := &server.Options{ServerName: "mien-fleet", Host: host, Port: number, NoSigs: true,
		TLS: true, TLSTimeout: 10, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		TrustedOperators: []*jwt.OperatorClaims{operator}, SystemAccount: public(h.system), AccountResolver: resolver,
		JetStream: true, StoreDir: h.path("jetstream"), JetStreamMaxStore: o.Disk, JetStreamMaxMemory: 64 << 20,
		SyncInterval: o.Sync, SyncAlways: o.Sync == 0, MaxConn: 100_000, MaxControlLine: 4096, DisableShortFirstPing: true}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	if o.Log != nil {
		s.SetLogger(o.Log, false, false)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return nil, fmt.Errorf("fleet: the server on %s does not begin (is the address taken?)", o.Listen)
	}
	return &Server{h, s}, nil
}

// resolver is where the server finds the accounts, and takes a changed one.
func (h *Home) resolver() (*server.DirAccResolver, error) {
	r, err := server.NewDirAccResolver(h.path("accounts"), 0, 0, server.NoDelete)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	account, err := h.accountToken(nil)
	if err != nil {
		return nil, err
	}
	system, err := h.systemToken()
	if err != nil {
		return nil, err
	}
	return r, errors.Join(r.Store(public(h.account), account), r.Store(public(h.system), system))
}

// Address is what the server listens on.
func (s *Server) Address() string { return s.s.Addr().String() }

// Stop ends the server in order.
func (s *Server) Stop() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
}

// Connect connects as somebody who may all, to the server inside or to another's
// cluster.
func (h *Home) Connect(ctx context.Context, servers string, more ...nats.Option) (*nats.Conn, jetstream.JetStream, error) {
	o, err := h.as(false)
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect(servers, append(append(o, nats.Name("mien fleet"), nats.MaxReconnects(-1), nats.Timeout(time.Minute)), more...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("fleet: %s: %w", servers, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("fleet: %w", err)
	}
	return nc, js, nil
}

// as makes credentials on the spot, of the fleet's account or the system's.
func (h *Home) as(system bool) ([]nats.Option, error) {
	a, err := h.About()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if a.Cluster != nil {
		o := []nats.Option{nats.UserCredentials(a.Cluster.User)}
		if a.Cluster.CA != "" {
			o = append(o, nats.RootCAs(a.Cluster.CA))
		}
		if a.Cluster.Certificate != "" {
			o = append(o, nats.ClientCert(a.Cluster.Certificate, a.Cluster.PrivateKey))
		}
		return o, nil
	}
	account := h.account
	if system {
		account = h.system
	}
	creds, _, err := user(account, public(account), "mien", jwt.Permissions{})
	if err != nil {
		return nil, err
	}
	return []nats.Option{nats.UserCredentialBytes(creds), nats.RootCAs(h.path("ca.pem"))}, nil
}

// Dial connects to the hub that hub.json names.
func (h *Home) Dial(ctx context.Context) (*nats.Conn, jetstream.JetStream, error) {
	a, err := h.About()
	if err != nil {
		return nil, nil, err
	}
	return h.Connect(ctx, a.Tools)
}
