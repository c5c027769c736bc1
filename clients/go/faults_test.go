package datacrawl

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// slack is how much later than its deadline a call may return on a machine that is busy.
const slack = 2 * time.Second

// raw serves connections with a function, and closes them after the test.
func raw(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go handle(conn)
		}
	}()
	return "http://" + listener.Addr().String()
}

// deniesInTime asks with a timeout, and holds the client to it.
func deniesInTime(t *testing.T, client *Client, limit time.Duration) Verdict {
	t.Helper()
	startedAt := time.Now()
	verdict := client.Authorize(t.Context(), mail("k"))
	if took := time.Since(startedAt); took > limit+slack {
		t.Errorf("it took %s", took)
	}
	if verdict.Allowed() || verdict.Decision != Deny || verdict.Source != SourceGuard {
		t.Errorf("%+v", verdict)
	}
	return verdict
}

func TestAServiceThatIsDownIsADeny(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if verdict := deniesInTime(t, open(t, "http://"+listener.Addr().String()), 5*time.Second); verdict.Reason != ReasonServiceUnavailable {
		t.Fatalf("%+v", verdict)
	}
}

func TestAServiceThatSaysNothingIsADenyAtTheDeadline(t *testing.T) {
	for name, handle := range map[string]func(net.Conn){
		"it reads":         func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"it reads nothing": func(net.Conn) {},
	} {
		client := open(t, raw(t, handle), timeout(300*time.Millisecond))
		for range 2 {
			if verdict := deniesInTime(t, client, 300*time.Millisecond); verdict.Reason != ReasonDeadlineExceeded {
				t.Fatalf("%s: %+v", name, verdict)
			}
		}
	}
}

func TestAServiceThatIsSlowIsADenyAtTheDeadline(t *testing.T) {
	// Not a gRPC server, which resets a call at its deadline, perhaps before the client's own timer.
	hang := http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
	url := raw(t, func(conn net.Conn) { (&http2.Server{}).ServeConn(conn, &http2.ServeConnOpts{Handler: hang}) })
	client := open(t, url, timeout(300*time.Millisecond))
	deniesInTime(t, client, 300*time.Millisecond)
	if state := client.Circuit(); state.ConsecutiveFailures != 0 {
		t.Errorf("a deadline of less than a second counted: %+v", state)
	}
	patient := open(t, url, timeout(1200*time.Millisecond))
	deniesInTime(t, patient, 1200*time.Millisecond)
	if state := patient.Circuit(); state.ConsecutiveFailures != 1 {
		t.Errorf("a deadline of more than a second did not count: %+v", state)
	}
}

func TestWhatDoesNotSpeakGRPCIsADeny(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		reason Reason
	}{
		"HTTP/1.1":       {"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n", ReasonMalformedResponse},
		"garbage":        {"\x00\x01\x02 this is not a frame, and it goes on for a while so that it is long enough to be read", ReasonMalformedResponse},
		"SSH":            {"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", ReasonMalformedResponse},
		"an early close": {"", ReasonServiceUnavailable},
	} {
		client := open(t, raw(t, func(conn net.Conn) {
			_, _ = conn.Write([]byte(test.answer))
			_ = conn.Close()
		}))
		if verdict := deniesInTime(t, client, 5*time.Second); verdict.Reason != test.reason && verdict.Reason != ReasonServiceUnavailable {
			t.Errorf("%s: %+v", name, verdict)
		}
	}
}

func TestAContextThatIsCancelledEndsTheCall(t *testing.T) {
	client := open(t, raw(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), timeout(time.Minute))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	startedAt := time.Now()
	verdict := client.Authorize(ctx, mail("k"))
	if took := time.Since(startedAt); verdict.Allowed() || verdict.Reason != ReasonDeadlineExceeded || took > 30*time.Second {
		t.Fatalf("%s %+v", took, verdict)
	}
	if state := client.Circuit(); state.ConsecutiveFailures != 0 {
		t.Errorf("the caller's cancel counted: %+v", state)
	}
	over, done := context.WithCancel(t.Context())
	done()
	if verdict := client.Authorize(over, mail("k")); verdict.Allowed() || verdict.Reason != ReasonDeadlineExceeded {
		t.Errorf("%+v", verdict)
	}
	var none context.Context
	if verdict := client.Authorize(none, mail("k")); verdict.Allowed() {
		t.Errorf("%+v", verdict)
	}
}

func TestAContextsDeadlineHolds(t *testing.T) {
	client := open(t, raw(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), timeout(time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	startedAt := time.Now()
	verdict := client.Authorize(ctx, mail("k"))
	if took := time.Since(startedAt); verdict.Reason != ReasonDeadlineExceeded || took > 200*time.Millisecond+slack {
		t.Fatalf("%s %+v", took, verdict)
	}
}

func TestClosingEndsCallsThatAreUnderWay(t *testing.T) {
	for name, handle := range map[string]func(net.Conn){
		"it reads":         func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"it reads nothing": func(net.Conn) {},
	} {
		client := open(t, raw(t, handle), timeout(time.Minute))
		time.AfterFunc(200*time.Millisecond, func() { _ = client.Close() })
		startedAt := time.Now()
		verdict := client.Authorize(t.Context(), mail("k"))
		if took := time.Since(startedAt); verdict.Allowed() || took > 30*time.Second {
			t.Fatalf("%s: %s %+v", name, took, verdict)
		}
	}
}

func TestALostRouteGetsAnotherConnection(t *testing.T) {
	accepted := make(chan net.Conn, 10)
	client := open(t, raw(t, func(conn net.Conn) {
		accepted <- conn
		_, _ = io.Copy(io.Discard, conn)
	}), timeout(200*time.Millisecond))
	deniesInTime(t, client, 200*time.Millisecond)
	deniesInTime(t, client, 200*time.Millisecond)
	if len(accepted) != 2 {
		t.Fatalf("%d connections", len(accepted))
	}
}

func TestAServiceThatRestartsIsFoundAgain(t *testing.T) {
	first := serve(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = first
	client := open(t, "http://"+listener.Addr().String())
	serveOn(t, &onceListener{Listener: listener})
	for range 3 {
		if verdict := client.Authorize(t.Context(), mail("k")); !verdict.Allowed() {
			t.Fatalf("%+v", verdict)
		}
	}
}

// onceListener closes each connection after some time, as a proxy that restarts does.
type onceListener struct{ net.Listener }

func (l *onceListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		time.AfterFunc(50*time.Millisecond, func() { _ = conn.Close() })
	}
	return conn, err
}

func TestNoProxyOfTheEnvironmentIsAsked(t *testing.T) {
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { asked <- request.Host }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	service := serve(t)
	if verdict := open(t, service.url).Authorize(t.Context(), mail("k")); !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
	if len(asked) != 0 {
		t.Fatalf("the proxy was asked for %s", <-asked)
	}
}

func TestATokenThatDoesNotComeIsADenyThatDoesNotCount(t *testing.T) {
	service := serve(t)
	for name, token := range map[string]func(context.Context) (string, error){
		"an error": func(context.Context) (string, error) { return "secret", errors.New("secret") },
		"empty":    func(context.Context) (string, error) { return "", nil },
		"a line":   func(context.Context) (string, error) { return "secret\r\nx", nil },
		"a panic":  func(context.Context) (string, error) { panic("secret") },
		"silence":  func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() },
	} {
		client := open(t, service.url, timeout(400*time.Millisecond), func(o *Options) { o.APIKey, o.Token, o.AgentID = "", token, "demo" })
		verdict := deniesInTime(t, client, 400*time.Millisecond)
		if verdict.Reason != ReasonRequestRefused || verdict.Code != CodeBadCredential || strings.Contains(verdict.Message, "secret") {
			t.Errorf("%s: %+v", name, verdict)
		}
		if state := client.Circuit(); state.ConsecutiveFailures != 0 {
			t.Errorf("%s counted: %+v", name, state)
		}
	}
	if service.times() != 0 {
		t.Errorf("%d requests were sent without a token", service.times())
	}
}

func TestATokenIsReadForEachAttempt(t *testing.T) {
	service := serve(t)
	token := "a.b.c"
	client := open(t, service.url, func(o *Options) {
		o.APIKey, o.Token, o.AgentID = "", func(context.Context) (string, error) { return token + "\n", nil }, "demo"
	})
	client.Authorize(t.Context(), mail("k"))
	token = "d.e.f"
	client.Authorize(t.Context(), mail("k"))
	if first, second := service.headers[0].Get("authorization")[0], service.headers[1].Get("authorization")[0]; first != "Bearer a.b.c" || second != "Bearer d.e.f" {
		t.Fatalf("%s %s", first, second)
	}
}
