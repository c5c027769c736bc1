package datacrawl

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/circuit"
	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
)

// Options of [New]. Only the credential has no default; a sidecar needs none.
type Options struct {
	// URL is the service, as https://host:port, or http://host:port on this machine. Default: DATACRAWL_URL, else http://127.0.0.1:7440. An
	// address on this machine that is given without any credential is taken for a sidecar's, and so is unix:/path.
	URL string
	// Sidecar is a sidecar to ask instead of the service: host:port on this machine, or unix:/path. It has the shared circuit, the bypass and
	// the journal, and Verdict.Source says when it decided alone. Default: DATACRAWL_SIDECAR, if the options have no URL.
	Sidecar string
	// APIKey is the agent's key, dc_agent_…. Default: DATACRAWL_API_KEY, unless there is a token or a certificate.
	APIKey string
	// Token returns the agent's JWT, instead of a key. It is called before each attempt, so it should cache the token until shortly before it
	// expires. It gets half of the call's time. Default: reads the file DATACRAWL_TOKEN_FILE each time.
	Token func(context.Context) (string, error)
	// ClientCertificate is read before each attempt; instead of a key or a token, or beside one. It needs https. Default:
	// DATACRAWL_CLIENT_CERT_FILE and DATACRAWL_CLIENT_KEY_FILE.
	ClientCertificate CertificateFiles
	// AgentID is the agent that the token or the certificate names; a key contains it. Default: DATACRAWL_AGENT_ID. With a sidecar it is
	// optional: answers for another agent are then malformed, and keys can be derived.
	AgentID string
	// RootCAs are trusted instead of the system's. Certificates are always verified.
	RootCAs *x509.CertPool
	// Timeout is how long a verdict, a start or a report may take: 1 ms to 10 minutes, default 5 s. A context's earlier deadline holds.
	// Below 1 s a service that is only slow never opens the circuit.
	Timeout time.Duration
	// Circuit says when the circuit opens, and for how long.
	Circuit CircuitOptions
	// OnVerdict is called with each verdict of Authorize, which returns when it does. A panic in it is logged and changes nothing.
	OnVerdict func(context.Context, Request, Verdict)
	// Traceparent returns the W3C traceparent to pass on, or an empty string. It joins the agent's trace and the audit trail.
	// It must not block.
	Traceparent func(context.Context) string
	// Logger gets what nobody else is told. Default: slog.Default().
	Logger *slog.Logger
}

// CertificateFiles are paths of PEM files: a certificate with its chain, and its key.
type CertificateFiles struct {
	CertFile string
	KeyFile  string
}

// CircuitOptions of a client. The zero value is the default.
type CircuitOptions struct {
	// Failures in a row that open the circuit: from 1, default 5.
	Failures int
	// ProbeAfter is the time from the opening, or from a failed probe, to the next probe: at most an hour, default 30 s.
	ProbeAfter time.Duration
}

const (
	defaultURL     = "http://127.0.0.1:7440"
	defaultTimeout = 5 * time.Second
	maxTimeout     = 10 * time.Minute
	rampMillis     = 5_000
)

// settings are options that were checked.
type settings struct {
	endpoint    transport.Endpoint
	credentials *transport.Credentials
	// Empty if only a sidecar knows it.
	agentID string
	sidecar bool
	timeout time.Duration
	circuit circuit.Config
	Options
}

// readOptions returns every problem at once, never with a credential in it.
func readOptions(options Options, env func(string) string) (settings, error) {
	s := settings{Options: options, timeout: options.Timeout, agentID: options.AgentID}
	if options.AgentID == "" && options.APIKey == "" {
		s.agentID = env("DATACRAWL_AGENT_ID")
	}
	var problems []error
	check := func(isGood bool, option, problem string) {
		if !isGood {
			problems = append(problems, fmt.Errorf("%s %s", option, problem))
		}
	}
	if s.Sidecar == "" && s.URL == "" {
		s.Sidecar = env("DATACRAWL_SIDECAR")
	}
	check(s.URL == "" || s.Sidecar == "", "Sidecar", "replaces URL: give only one of them")
	named := firstOf(s.URL, env("DATACRAWL_URL"))
	if s.Sidecar == "" && strings.HasPrefix(named, "unix:") {
		s.Sidecar = named
	}
	s.sidecar = s.Sidecar != ""
	var problem string
	if s.sidecar {
		s.endpoint, problem = sidecarEndpoint(s.Sidecar)
		check(problem == "", "Sidecar", "(or DATACRAWL_SIDECAR) "+problem)
	} else {
		s.endpoint, problem = serviceEndpoint(firstOf(named, defaultURL))
		check(problem == "", "URL", "(or DATACRAWL_URL) "+problem)
		s.readProofs(env, check)
		// The service answers nobody without a credential, so an address in clear text, which is on this machine, is then a sidecar's.
		s.sidecar = named != "" && !s.endpoint.Secure && !s.hasProof()
	}
	s.endpoint.RootCAs = s.RootCAs
	s.readAgent(check)

	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	check(s.timeout >= time.Millisecond && s.timeout <= maxTimeout, "Timeout", fmt.Sprintf("must be from 1ms to %s, is %s", maxTimeout, s.timeout))
	failures, probeAfter := s.Circuit.Failures, s.Circuit.ProbeAfter
	if failures == 0 {
		failures = 5
	}
	if probeAfter == 0 {
		probeAfter = 30 * time.Second
	}
	check(failures >= 1, "Circuit.Failures", fmt.Sprintf("must be from 1, is %d", failures))
	check(probeAfter >= time.Millisecond && probeAfter <= time.Hour, "Circuit.ProbeAfter", fmt.Sprintf("must be from 1ms to 1h, is %s", probeAfter))
	millis := float64(probeAfter.Milliseconds())
	s.circuit = circuit.Config{Failures: failures, ProbeAfter: millis, Ramp: rampMillis, Lease: circuit.LeaseFor(millis)}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	if len(problems) > 0 {
		return settings{}, fmt.Errorf("datacrawl: %w", joined(problems))
	}
	return s, nil
}

// joined is one line; errors.Join writes several.
func joined(problems []error) error {
	texts := make([]string, len(problems))
	for index, problem := range problems {
		texts[index] = problem.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func serviceEndpoint(text string) (transport.Endpoint, string) {
	const problem = "must be http:// or https:// with a host and a port, and nothing else"
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil {
		return transport.Endpoint{}, problem
	}
	if strings.TrimSuffix(text, "/") != u.Scheme+"://"+u.Host {
		return transport.Endpoint{}, problem
	}
	secure := u.Scheme == "https"
	if !secure && !isLoopback(u.Hostname()) {
		return transport.Endpoint{}, "must be https://, since it is not this machine"
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[secure]
	}
	return transport.Endpoint{Network: "tcp", Address: net.JoinHostPort(u.Hostname(), port), Host: u.Hostname(), Secure: secure}, ""
}

// sidecarEndpoint accepts only this machine: a sidecar's callers need no credential, and it answers in clear text.
func sidecarEndpoint(text string) (transport.Endpoint, string) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return transport.Endpoint{}, "must have a path after unix:"
		}
		return transport.Endpoint{Network: "unix", Address: path, Host: "localhost"}, ""
	}
	host, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(text, "http://"), "/"))
	if err != nil || port == "" || !isLoopback(host) {
		return transport.Endpoint{}, "must be a host and a port of this machine, or unix: and a path"
	}
	return transport.Endpoint{Network: "tcp", Address: net.JoinHostPort(host, port), Host: host}, ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

var (
	agentKey = regexp.MustCompile(`^dc_agent_([a-z0-9][a-z0-9.-]{0,62})_[0-9a-f]{12}_[0-9a-f]{64}$`)
	agentID  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
)

// readAgent finds out who the agent is.
func (s *settings) readAgent(check func(isGood bool, option, problem string)) {
	files := s.ClientCertificate
	s.credentials = &transport.Credentials{Key: s.APIKey, Token: s.Token, CertFile: files.CertFile, KeyFile: files.KeyFile}
	hasCertificate := files != CertificateFiles{}
	if hasCertificate {
		err := transport.CheckPair(files.CertFile, files.KeyFile)
		check(err == nil, "ClientCertificate", fmt.Sprintf("(or DATACRAWL_CLIENT_CERT_FILE, DATACRAWL_CLIENT_KEY_FILE) must name a certificate and its key in PEM: %v", err))
		check(s.endpoint.Secure || s.endpoint.Network == "", "ClientCertificate", "needs a URL that begins with https://")
	}
	check(s.APIKey == "" || s.Token == nil, "Token", "(or DATACRAWL_TOKEN_FILE) replaces a key: give only one of them")
	if match := agentKey.FindStringSubmatch(s.APIKey); match != nil {
		check(s.agentID == "" || s.agentID == match[1], "AgentID", fmt.Sprintf("(or DATACRAWL_AGENT_ID) must be %s, the agent of the key", match[1]))
		s.agentID = match[1]
		return
	}
	check(s.APIKey == "", "APIKey", "(or DATACRAWL_API_KEY) must be dc_agent_<agent id>_<key id>_<secret>")
	if !s.hasProof() && !s.sidecar {
		check(false, "APIKey", "(or DATACRAWL_API_KEY) is missing, and so are Token and ClientCertificate")
		return
	}
	isNamed := agentID.MatchString(s.agentID) || (s.sidecar && s.agentID == "") || s.APIKey != ""
	check(isNamed, "AgentID", "(or DATACRAWL_AGENT_ID) must be the agent that the token or the certificate names")
}

func (s *settings) hasProof() bool {
	return s.APIKey != "" || s.Token != nil || s.ClientCertificate != CertificateFiles{}
}

// readProofs takes the environment's credential where the options hold none.
func (s *settings) readProofs(env func(string) string, check func(isGood bool, option, problem string)) {
	if s.hasProof() {
		return
	}
	s.APIKey = env("DATACRAWL_API_KEY")
	s.ClientCertificate = CertificateFiles{CertFile: env("DATACRAWL_CLIENT_CERT_FILE"), KeyFile: env("DATACRAWL_CLIENT_KEY_FILE")}
	file := env("DATACRAWL_TOKEN_FILE")
	if file == "" {
		return
	}
	s.Token = func(context.Context) (string, error) {
		token, err := os.ReadFile(file)
		return string(token), err
	}
	token, err := os.ReadFile(file)
	check(err == nil && transport.IsToken(strings.TrimSpace(string(token))), "Token",
		fmt.Sprintf("(or DATACRAWL_TOKEN_FILE) is %s, which holds no token", file))
}
