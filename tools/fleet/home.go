// Package fleet is the hub of a fleet: a NATS server with JetStream inside, the
// streams and stores that device/fleet's tables ask for, and the credentials of
// boards. README.md of device/fleet lists what boards and hub promise each other.
package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"mien/device/fleet"
	"mien/runtime/atomicfile"
	"mien/runtime/lockfile"
	"mien/train/work"
)

// Home is the folder of a hub: its keys, the boards that are enrolled, and what is
// stored.
//
//	operator.nk account.nk system.nk  NKeys that the server's trust hangs on
//	key.nk                            the fleet's key: seals commands, signs roll-outs
//	account.jwt                       what boards and tools together may, who is revoked
//	ca.pem ca.key                     signs the server's certificate; boards get ca.pem
//	hub.json                          where the hub is
//	boards/SITE/BOARD.json            who is enrolled
//	jetstream/                        streams and stores
//
// All but ca.pem is for its owner alone. Each file is replaced whole.
type Home struct {
	Dir      string
	operator nkeys.KeyPair
	account  nkeys.KeyPair
	system   nkeys.KeyPair
	key      nkeys.KeyPair
}

// About is hub.json: where the hub is, and, where the servers are another's
// cluster, as whom to connect there.
type About struct {
	Servers []string `json:"servers"` // for boards and tools
	Tools   string   `json:"tools"`   // where tools on the hub's own machine connect
	Cluster *Cluster `json:"cluster,omitempty"`
}

// Cluster is how to get on in servers that are not the one inside.
type Cluster struct {
	User    string `json:"user"`    // file of credentials that may all in the fleet's account
	Signer  string `json:"signer"`  // file with the seed of the account's key, or a signing key of it, for enrolling
	Account string `json:"account"` // the account's public key
	CA      string `json:"ca"`      // file of certificates; empty for those of the system

	Certificate string `json:"certificate,omitempty"` // file, for servers that ask for one; empty for none
	PrivateKey  string `json:"private_key,omitempty"` // file of its key
}

// OpenHome opens the folder of a hub.
func OpenHome(dir string) (*Home, error) {
	if _, err := os.Stat(filepath.Join(dir, "key.nk")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("fleet: %s is no folder of a hub (mien fleet serve --hub makes one)", dir)
	}
	return MakeHome(dir)
}

// MakeHome opens the folder of a hub, or makes it: at the first time all keys are
// made up.
func MakeHome(dir string) (*Home, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	lock, err := lockfile.Take(filepath.Join(dir, "keys.lock"), 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	h := &Home{Dir: dir}
	err = h.open()
	return h, errors.Join(err, lock.Release())
}

func (h *Home) open() (err error) {
	for _, k := range []struct {
		file string
		key  *nkeys.KeyPair
		make func() (nkeys.KeyPair, error)
	}{
		{"operator.nk", &h.operator, nkeys.CreateOperator},
		{"account.nk", &h.account, nkeys.CreateAccount},
		{"system.nk", &h.system, nkeys.CreateAccount},
		{"key.nk", &h.key, nkeys.CreateUser},
	} {
		if *k.key, err = h.keyPair(k.file, k.make); err != nil {
			return err
		}
	}
	if _, err := os.Stat(h.path("ca.key")); errors.Is(err, fs.ErrNotExist) {
		return h.makeCA()
	}
	return nil
}

func (h *Home) path(name string) string { return filepath.Join(h.Dir, name) }

// keyPair reads a key, or makes it.
func (h *Home) keyPair(file string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(h.path(file))
	if errors.Is(err, fs.ErrNotExist) {
		k, err := create()
		if err != nil {
			return nil, fmt.Errorf("fleet: %w", err)
		}
		if seed, err = k.Seed(); err != nil {
			return nil, fmt.Errorf("fleet: %w", err)
		}
		return k, writePrivate(h.path(file), append(seed, '\n'))
	}
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	k, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return nil, fmt.Errorf("fleet: %s holds no seed of a key: %w", h.path(file), err)
	}
	return k, nil
}

func writePrivate(path string, data []byte) error {
	if err := atomicfile.Write(path, data); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	return os.Chmod(path, 0o600)
}

// Key is the fleet's key.
func (h *Home) Key() nkeys.KeyPair { return h.key }

// PublicKey is its public half, which boards know.
func (h *Home) PublicKey() string { return public(h.key) }

// CA is what boards know the servers' certificates by; nil where the system does.
func (h *Home) CA() ([]byte, error) {
	a, err := h.About()
	switch {
	case err != nil:
		return nil, err
	case a.Cluster == nil:
		return os.ReadFile(h.path("ca.pem"))
	case a.Cluster.CA == "":
		return nil, nil
	}
	return os.ReadFile(a.Cluster.CA)
}

// About reads hub.json.
func (h *Home) About() (a About, err error) {
	b, err := os.ReadFile(h.path("hub.json"))
	if err != nil {
		return a, fmt.Errorf("fleet: %w (mien fleet serve writes it)", err)
	}
	return a, json.Unmarshal(b, &a)
}

// WriteAbout replaces hub.json.
func (h *Home) WriteAbout(a About) error {
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(h.path("hub.json"), append(b, '\n'))
}

// From this day on the hub's certificates are good: a board whose clock is behind
// by years, as is that of one without a battery until the network tells it, is
// not kept away.
var from = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// to is the last day on which they are.
var to = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)

// makeCA makes up the authority that signs the server's certificate.
func (h *Home) makeCA() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mien fleet"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		return err
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	err = atomicfile.Write(h.path("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return errors.Join(err, writePrivate(h.path("ca.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv})))
}

// certificate makes a certificate for a server that goes by these names and
// addresses; it lives as long as the server does.
func (h *Home) certificate(hosts []string) (tls.Certificate, error) {
	ca, err := tls.LoadX509KeyPair(h.path("ca.pem"), h.path("ca.key"))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("fleet: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	c := x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "mien fleet serve"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// operatorClaims are whom the server trusts.
func (h *Home) operatorClaims() (*jwt.OperatorClaims, error) {
	c := jwt.NewOperatorClaims(public(h.operator))
	c.Name = "mien fleet"
	c.SystemAccount = public(h.system)
	token, err := c.Encode(h.operator)
	if err != nil {
		return nil, err
	}
	return jwt.DecodeOperatorClaims(token)
}

// accountToken is what boards and tools may together: as much of JetStream as
// there is. Who is revoked is kept from the one before.
func (h *Home) accountToken(change func(*jwt.AccountClaims)) (string, error) {
	c := jwt.NewAccountClaims(public(h.account))
	if b, err := os.ReadFile(h.path("account.jwt")); err == nil {
		if c, err = jwt.DecodeAccountClaims(string(b)); err != nil {
			return "", fmt.Errorf("fleet: %s: %w", h.path("account.jwt"), err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("fleet: %w", err)
	}
	c.Name = "fleet"
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxBytesRequired: true}
	if change != nil {
		change(c)
	}
	token, err := c.Encode(h.operator)
	if err != nil {
		return "", fmt.Errorf("fleet: %w", err)
	}
	return token, writePrivate(h.path("account.jwt"), []byte(token))
}

// systemToken is the account through which the server is told of revocations.
func (h *Home) systemToken() (string, error) {
	c := jwt.NewAccountClaims(public(h.system))
	c.Name = "system"
	return c.Encode(h.operator)
}

// public is a key's public half. A pair that came from a seed has one.
func public(k nkeys.KeyPair) string {
	p, err := k.PublicKey()
	if err != nil {
		panic(err)
	}
	return p
}

// Enrolled is boards/SITE/BOARD.json.
type Enrolled struct {
	fleet.ID
	User string    `json:"user"` // the public key of its credentials
	Time time.Time `json:"time"`
}

func (h *Home) boardFile(id fleet.ID) string {
	return h.path(filepath.Join("boards", id.Site, id.Board+".json"))
}

// Boards returns who is enrolled, by site and name.
func (h *Home) Boards() (all []Enrolled, err error) {
	files, err := filepath.Glob(h.path("boards/*/*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, f := range files {
		var e Enrolled
		b, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(b, &e)
		}
		if err != nil {
			return nil, fmt.Errorf("fleet: %s: %w", f, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// board reads who is enrolled under a name, if anybody is.
func (h *Home) board(id fleet.ID) (e Enrolled, known bool, err error) {
	b, err := os.ReadFile(h.boardFile(id))
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return e, false, fmt.Errorf("fleet: %s: %w", h.boardFile(id), err)
	}
	return e, true, nil
}

// user makes credentials. A user without permissions may all that the account may.
func user(signer nkeys.KeyPair, account, name string, may jwt.Permissions) (creds []byte, key string, err error) {
	k, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", err
	}
	c := jwt.NewUserClaims(public(k))
	c.Name, c.Permissions = name, may
	if public(signer) != account {
		c.IssuerAccount = account
	}
	token, err := c.Encode(signer)
	if err != nil {
		return nil, "", err
	}
	seed, err := k.Seed()
	if err != nil {
		return nil, "", err
	}
	creds, err = jwt.FormatUserConfig(token, seed)
	return creds, public(k), err
}

// signer is the key that boards' credentials are signed with, and the account
// that it speaks for.
func (h *Home) signer() (nkeys.KeyPair, string, error) {
	a, err := h.About()
	if errors.Is(err, fs.ErrNotExist) || err == nil && a.Cluster == nil {
		return h.account, public(h.account), nil
	}
	if err != nil {
		return nil, "", err
	}
	seed, err := os.ReadFile(a.Cluster.Signer)
	if err != nil {
		return nil, "", fmt.Errorf("fleet: the key that signs boards' credentials: %w", err)
	}
	k, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return nil, "", fmt.Errorf("fleet: %s holds no seed of a key: %w", a.Cluster.Signer, err)
	}
	return k, a.Cluster.Account, nil
}

// answers is how long a board may take to answer a command.
const answers = 2 * time.Minute

// Enrol makes credentials for a board, with which it can do what its ID lets it
// and nothing else. Those that it had before are no longer good once the server
// knows: see Revoke.
func (h *Home) Enrol(id fleet.ID) (creds []byte, before *Enrolled, err error) {
	if err := id.Check(); err != nil {
		return nil, nil, err
	}
	publish, subscribe := id.May()
	signer, account, err := h.signer()
	if err != nil {
		return nil, nil, err
	}
	creds, key, err := user(signer, account, id.String(), jwt.Permissions{Pub: jwt.Permission{Allow: publish}, Sub: jwt.Permission{Allow: subscribe},
		Resp: &jwt.ResponsePermission{MaxMsgs: 1, Expires: answers}})
	if err != nil {
		return nil, nil, fmt.Errorf("fleet: %w", err)
	}
	was, known, err := h.board(id)
	if err != nil {
		return nil, nil, err
	}
	if known {
		before = &was
	}
	b, err := json.Marshal(Enrolled{id, key, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(filepath.Dir(h.boardFile(id)), 0o700); err != nil {
		return nil, nil, fmt.Errorf("fleet: %w", err)
	}
	return creds, before, writePrivate(h.boardFile(id), append(b, '\n'))
}

// Hire makes credentials for machines that begin or do training runs, and may
// nothing else. Whose they were before, under that name, is returned to be revoked.
func (h *Home) Hire(name string) (creds []byte, before *Enrolled, err error) {
	id := fleet.ID{Site: "work", Board: name}
	if err := id.Check(); err != nil {
		return nil, nil, err
	}
	publish, subscribe := work.May()
	signer, account, err := h.signer()
	if err != nil {
		return nil, nil, err
	}
	creds, key, err := user(signer, account, name, jwt.Permissions{Pub: jwt.Permission{Allow: publish}, Sub: jwt.Permission{Allow: subscribe}})
	if err != nil {
		return nil, nil, fmt.Errorf("fleet: %w", err)
	}
	path := h.path(filepath.Join("workers", name+".json"))
	if b, err := os.ReadFile(path); err == nil {
		before = &Enrolled{}
		if err := json.Unmarshal(b, before); err != nil {
			return nil, nil, fmt.Errorf("fleet: %s: %w", path, err)
		}
	}
	b, err := json.Marshal(Enrolled{id, key, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, fmt.Errorf("fleet: %w", err)
	}
	return creds, before, writePrivate(path, append(b, '\n'))
}
