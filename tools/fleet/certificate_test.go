package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mien/device/fleet"
	"mien/device/signal"
	"mien/runtime/testwait"
)

// authority signs certificates of boards, as a company's own does.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a certificate; of an authority itself where by is nil.
func sign(t testing.TB, by *authority, name string, until time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	parent, signer := c, key
	if by == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

// files writes a certificate and its key.
func (a *authority) files(t testing.TB) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "board.pem"), filepath.Join(dir, "board.key")
	if err := errors.Join(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// strict is somebody's cluster, whose servers ask for certificates of ca. With users
// it knows who is there by them; else by credentials, too.
func strict(t testing.TB, h *Home, ca *authority, newest uint16, users ...*server.User) string {
	t.Helper()
	cert, err := h.certificate([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), TLS: true, TLSVerify: true, TLSTimeout: 10,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12, MaxVersion: newest}}
	if len(users) > 0 {
		o.TLSMap, o.Users = true, users
	} else {
		operator, err := h.operatorClaims()
		if err != nil {
			t.Fatal(err)
		}
		resolver, err := h.resolver()
		if err != nil {
			t.Fatal(err)
		}
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{operator}, public(h.system), resolver
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not begin")
	}
	return "tls://" + s.Addr().String()
}

// A cluster that asks for certificates takes the hub and boards by theirs, and a board
// says which is wrong: there is none, a strange one, one past its date, one without its key.
func TestCertificatesOfBoards(t *testing.T) {
	for name, newest := range map[string]uint16{"TLS 1.3": tls.VersionTLS13, "TLS 1.2": tls.VersionTLS12} {
		t.Run(name, func(t *testing.T) {
			theirs, err := MakeHome(filepath.Join(t.TempDir(), "theirs"))
			if err != nil {
				t.Fatal(err)
			}
			ca := sign(t, nil, "boards", to)
			url := strict(t, theirs, ca, newest)
			admin, _, err := user(theirs.account, public(theirs.account), "admin", jwt.Permissions{})
			if err != nil {
				t.Fatal(err)
			}
			creds := filepath.Join(t.TempDir(), "admin.creds")
			if err := os.WriteFile(creds, admin, 0o600); err != nil {
				t.Fatal(err)
			}
			own := &Cluster{User: creds, Signer: theirs.path("account.nk"), Account: public(theirs.account), CA: theirs.path("ca.pem")}
			own.Certificate, own.PrivateKey = sign(t, ca, "hub", to).files(t)
			dir, ready := filepath.Join(t.TempDir(), "hub"), make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- Serve(ctx, ServeOptions{Dir: dir, Disk: 1 << 30, Servers: []string{url}, Out: io.Discard, Ready: func() { close(ready) }, Cluster: own})
			}()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			select {
			case <-ready:
			case err := <-done:
				done <- err
				t.Fatal(err)
			}
			home, err := OpenHome(dir)
			if err != nil {
				t.Fatal(err)
			}
			h := &hub{Home: home, url: url}
			if h.nc, h.js, err = home.Dial(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer h.nc.Close()
			o := h.enrol(t, hall)
			o.CA = theirs.path("ca.pem")
			if err := fleet.Try(t.Context(), o, true); err == nil || !strings.Contains(err.Error(), "fleet.certificate") || !strings.Contains(err.Error(), "asks for") {
				t.Errorf("without a certificate: %v", err)
			}
			for what, c := range map[string]struct {
				cert *authority
				want string
			}{
				"a strange one":     {sign(t, sign(t, nil, "strangers", to), "door", to), "not signed by an authority that the hub trusts"},
				"one past its date": {sign(t, ca, "door", time.Now().Add(-time.Hour)), "past its date"},
			} {
				o := o
				o.Certificate, o.PrivateKey = c.cert.files(t)
				if err := fleet.Try(t.Context(), o, true); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v", what, err)
				}
			}
			o.Certificate, _ = sign(t, ca, "door", to).files(t)
			_, o.PrivateKey = sign(t, ca, "door", to).files(t)
			if err := fleet.Try(t.Context(), o, true); err == nil || !strings.Contains(err.Error(), o.PrivateKey) {
				t.Errorf("with another's key: %v", err)
			}
			o.Certificate, o.PrivateKey = sign(t, ca, "door", to).files(t)
			if err := fleet.Try(t.Context(), o, true); err != nil {
				t.Errorf("with its own: %v", err)
			}
			b, _ := run(t, o)
			b.Transition(signal.Transition{Line: "face"})
			testwait.Until(t, "it is kept", func() bool { return len(h.stored(t, "SEEN", hall.Subject("*"))) == 1 })
		})
	}
}

// Where the certificate alone says who a board is, it says what it may: its own.
func TestKnownByCertificate(t *testing.T) {
	h, err := MakeHome(filepath.Join(t.TempDir(), "hub"))
	if err != nil {
		t.Fatal(err)
	}
	publish, subscribe := hall.May()
	ca := sign(t, nil, "boards", to)
	url := strict(t, h, ca, tls.VersionTLS13, &server.User{Username: "CN=hub"}, &server.User{Username: "CN=door",
		Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe}}})
	cert, key := sign(t, ca, "hub", to).files(t)
	nc, err := nats.Connect(url, nats.RootCAs(h.path("ca.pem")), nats.ClientCert(cert, key))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := Ensure(t.Context(), js, 1<<30, 1); err != nil {
		t.Fatal(err)
	}
	o := fleet.Options{Servers: []string{url}, CA: h.path("ca.pem"), ID: hall, Dir: t.TempDir()}
	o.Certificate, o.PrivateKey = sign(t, ca, "door", to).files(t)
	if err := fleet.Try(t.Context(), o, true); err != nil {
		t.Error(err)
	}
	o.ID.Board = "other"
	if err := fleet.Try(t.Context(), o, true); err == nil || !strings.Contains(err.Error(), "Permissions") {
		t.Errorf("as another: %v", err)
	}
	o.ID = hall
	o.Certificate, o.PrivateKey = sign(t, ca, "nobody", to).files(t)
	if err := fleet.Try(t.Context(), o, true); err == nil || !strings.Contains(err.Error(), "Authorization") {
		t.Errorf("as nobody: %v", err)
	}
}
