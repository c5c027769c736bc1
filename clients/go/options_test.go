package datacrawl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func env(pairs ...string) func(string) string {
	variables := make(map[string]string)
	for index := 0; index < len(pairs); index += 2 {
		variables[pairs[index]] = pairs[index+1]
	}
	return func(name string) string { return variables[name] }
}

func TestWrongOptionsAreNamedAllAtOnceAndWithoutTheKey(t *testing.T) {
	_, err := readOptions(Options{URL: "http://authz.internal:7440", APIKey: "dc_agent_hidden", Timeout: -1, Circuit: CircuitOptions{Failures: -1, ProbeAfter: 2 * time.Hour}}, env())
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"URL", "https://", "APIKey", "Timeout", "Circuit.Failures", "Circuit.ProbeAfter"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not in %q", part, err)
		}
	}
	if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
}

func TestAddressesThatAreAccepted(t *testing.T) {
	for url, address := range map[string]string{
		"http://127.0.0.1:7440":        "127.0.0.1:7440",
		"http://127.8.9.1:7440/":       "127.8.9.1:7440",
		"http://localhost:1":           "localhost:1",
		"http://[::1]:7440":            "[::1]:7440",
		"https://authz.internal":       "authz.internal:443",
		"https://authz.internal:7440":  "authz.internal:7440",
		"http://authz.internal:7440":   "",
		"http://127.0.0.1.example.com": "",
		"http://0.0.0.0:7440":          "",
		"https://user:pw@host:1":       "",
		"https://host:1/path":          "",
		"https://host:1?x":             "",
		"https://":                     "",
		"ftp://127.0.0.1":              "",
		"127.0.0.1:7440":               "",
		"unix:/run/x":                  "/run/x",
	} {
		read, err := readOptions(Options{URL: url, APIKey: testKey}, env())
		if (err == nil) != (address != "") || (err == nil && read.endpoint.Address != address) {
			t.Errorf("%s: %v %+v", url, err, read.endpoint)
		}
	}
	for sidecar, address := range map[string]string{
		"127.0.0.1:7443":         "127.0.0.1:7443",
		"http://127.0.0.1:7443/": "127.0.0.1:7443",
		"[::1]:7443":             "[::1]:7443",
		"unix:/run/dc.sock":      "/run/dc.sock",
		"unix:///run/dc.sock":    "/run/dc.sock",
		"unix:":                  "",
		"10.0.0.1:7443":          "",
		"https://localhost:7443": "",
		"localhost":              "",
	} {
		read, err := readOptions(Options{Sidecar: sidecar}, env())
		if (err == nil) != (address != "") || (err == nil && (read.endpoint.Address != address || !read.sidecar)) {
			t.Errorf("%s: %v %+v", sidecar, err, read.endpoint)
		}
	}
}

func TestTheEnvironmentIsReadWhereTheOptionsSayNothing(t *testing.T) {
	read, err := readOptions(Options{}, env("DATACRAWL_URL", "https://a:1", "DATACRAWL_API_KEY", testKey))
	if err != nil || read.endpoint.Address != "a:1" || read.agentID != "demo" || read.timeout != 5*time.Second {
		t.Fatalf("%v %+v", err, read)
	}
	if read.circuit.Failures != 5 || read.circuit.ProbeAfter != 30_000 || read.circuit.Lease != 10_000 || read.circuit.Ramp != 5_000 {
		t.Fatalf("%+v", read.circuit)
	}
	if read, err = readOptions(Options{APIKey: testKey}, env()); err != nil || read.endpoint.Address != "127.0.0.1:7440" {
		t.Fatalf("%v %+v", err, read.endpoint)
	}
	if read, err = readOptions(Options{}, env("DATACRAWL_SIDECAR", "127.0.0.1:7443", "DATACRAWL_API_KEY", testKey)); err != nil || !read.sidecar || read.credentials.Key != "" {
		t.Fatalf("%v %+v", err, read)
	}
	if read, err = readOptions(Options{URL: "https://a:1"}, env("DATACRAWL_SIDECAR", "127.0.0.1:7443", "DATACRAWL_API_KEY", testKey)); err != nil || read.sidecar {
		t.Fatalf("%v %+v", err, read)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a.b.c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err = readOptions(Options{}, env("DATACRAWL_TOKEN_FILE", token, "DATACRAWL_AGENT_ID", "demo"))
	if err != nil || read.agentID != "demo" || read.credentials.Token == nil {
		t.Fatalf("%v %+v", err, read)
	}
}

func TestAnAddressOfThisMachineWithoutACredentialIsASidecars(t *testing.T) {
	for _, test := range []struct {
		options Options
		env     func(string) string
		sidecar bool
	}{
		{Options{URL: "http://127.0.0.1:7443"}, env(), true},
		{Options{URL: "unix:/run/dc.sock", APIKey: testKey}, env(), true},
		{Options{}, env("DATACRAWL_URL", "http://localhost:7443"), true},
		{Options{URL: "http://127.0.0.1:7443", APIKey: testKey}, env(), false},
		{Options{URL: "http://127.0.0.1:7443"}, env("DATACRAWL_API_KEY", testKey), false},
	} {
		if read, err := readOptions(test.options, test.env); err != nil || read.sidecar != test.sidecar {
			t.Errorf("%+v: %v %v", test.options, read.sidecar, err)
		}
	}
	for name, options := range map[string]Options{
		"the default address": {},
		"https":               {URL: "https://127.0.0.1:7440"},
		"another machine":     {URL: "https://authz.internal:7440"},
	} {
		if _, err := readOptions(options, env()); err == nil {
			t.Errorf("%s is taken without a credential", name)
		}
	}
}

func TestWhoTheAgentIsMustBeKnown(t *testing.T) {
	token := func(context.Context) (string, error) { return "t", nil }
	for name, options := range map[string]Options{
		"no credential":            {},
		"a token without an agent": {Token: token},
		"a wrong agent":            {Token: token, AgentID: "Demo"},
		"another agent's key":      {APIKey: testKey, AgentID: "other"},
		"a key and a token":        {APIKey: testKey, Token: token},
		"a certificate over http":  {ClientCertificate: CertificateFiles{"a", "b"}, AgentID: "demo"},
		"a URL and a sidecar":      {URL: "https://a:1", Sidecar: "127.0.0.1:1", APIKey: testKey},
		"a wrong agent's sidecar":  {Sidecar: "127.0.0.1:1", AgentID: "A"},
	} {
		if _, err := readOptions(options, env()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// authority is a certificate authority with a certificate for 127.0.0.1 and one for the agent.
type authority struct {
	roots    *x509.CertPool
	server   tls.Certificate
	certFile string
	keyFile  string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	caKey, caCert, caPEM := certify(t, nil, nil)
	_ = caPEM
	roots := x509.NewCertPool()
	roots.AddCert(caCert)
	serverKey, serverCert, _ := certify(t, caCert, caKey)
	agentKey, agentCert, _ := certify(t, caCert, caKey)
	dir := t.TempDir()
	a := authority{roots: roots, certFile: filepath.Join(dir, "agent.pem"), keyFile: filepath.Join(dir, "agent.key")}
	a.server = tls.Certificate{Certificate: [][]byte{serverCert.Raw}, PrivateKey: serverKey}
	writePair(t, a.certFile, a.keyFile, agentCert, agentKey)
	return a
}

func writePair(t *testing.T, certFile, keyFile string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert.Raw}, keyFile: {Type: "EC PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func certify(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "demo"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  parent == nil,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert, der
}

func serveTLS(t *testing.T, a authority) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := serve(t)
	secure := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{a.server},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    a.roots,
		MinVersion:   tls.VersionTLS12,
	})))
	authzv1.RegisterAuthorizeServiceServer(secure, service)
	go func() { _ = secure.Serve(listener) }()
	t.Cleanup(secure.Stop)
	return "https://" + listener.Addr().String()
}

func TestAClientCertificateProvesTheAgentAndMayBeReplaced(t *testing.T) {
	a := newAuthority(t)
	url := serveTLS(t, a)
	client := open(t, url, func(o *Options) {
		o.APIKey, o.AgentID, o.RootCAs, o.ClientCertificate = "", "demo", a.roots, CertificateFiles{a.certFile, a.keyFile}
	})
	if verdict := client.Authorize(t.Context(), mail("k")); !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
	// One file of the next pair is there, and the other not yet.
	if err := os.WriteFile(a.keyFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if verdict := client.Authorize(t.Context(), mail("k")); !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
	other := newAuthority(t)
	copyFile(t, other.certFile, a.certFile)
	copyFile(t, other.keyFile, a.keyFile)
	if verdict := client.Authorize(t.Context(), mail("k")); verdict.Allowed() {
		t.Fatalf("a certificate of another authority: %+v", verdict)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestACertificateOfAnUnknownAuthorityIsNotTrusted(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	client := open(t, serveTLS(t, a), func(o *Options) {
		o.APIKey, o.AgentID, o.RootCAs, o.ClientCertificate = "", "demo", other.roots, CertificateFiles{a.certFile, a.keyFile}
	})
	if verdict := client.Authorize(t.Context(), mail("k")); verdict.Allowed() || verdict.Reason != ReasonServiceUnavailable {
		t.Fatalf("%+v", verdict)
	}
}
