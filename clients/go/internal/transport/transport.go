// Package transport is gRPC over one HTTP/2 connection, and hides nothing: grpc-go and connect-go keep HTTP's status, the content type,
// framing and repeated trailers from their users, and tolerate what a client of DataCrawl must not (docs/clients/README.md has the figures).
package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// An Endpoint is where the service is.
type Endpoint struct {
	// Network is "tcp" or "unix".
	Network string
	Address string
	// Host is for the certificate's check and the :authority.
	Host    string
	Secure  bool
	RootCAs *x509.CertPool
}

// An RPC is one call of a method with one request message.
type RPC struct {
	Method  string
	Message []byte
	// Streams: the method answers with a stream of messages; the reply is then the whole of it.
	Streams bool
	// ServerTime is how long the service may take, if that is less than the deadline leaves; 0 if it is not.
	ServerTime  time.Duration
	Traceparent string
}

// MaxReply bounds the bytes of a reply: an answer's strings are at most 256 bytes each, and its message is a sentence.
const MaxReply = 64 * 1024

// A process that looks at its deadline as much too late was busy.
const busyAfter = 100 * time.Millisecond

// A Transport asks the service over one connection at a time. It is safe for concurrent use.
type Transport struct {
	endpoint    Endpoint
	credentials *Credentials

	mu      sync.Mutex
	current *connection
	open    map[*connection]bool
	closed  bool
}

// New connects to nothing yet.
func New(endpoint Endpoint, credentials *Credentials) *Transport {
	return &Transport{endpoint: endpoint, credentials: credentials, open: make(map[*connection]bool)}
}

// Call calls once, and ends with the context. The messages are whole, at least one, and not yet verified.
func (t *Transport) Call(ctx context.Context, rpc RPC) ([][]byte, *Failure) {
	proof, failure := t.credentials.read(ctx)
	if failure != nil {
		return nil, failure
	}
	conn, failure := t.enter(proof.certificate)
	if failure != nil {
		return nil, failure
	}
	heardBefore := conn.heard.Load()
	callCtx, cancel := context.WithCancel(ctx)
	type result struct {
		messages [][]byte
		failure  *Failure
	}
	done := make(chan result, 1)
	// Not in the caller's goroutine: a write on a socket that nobody reads ignores the context.
	go func() {
		defer t.leave(conn)
		messages, failure := t.exchange(callCtx, conn, rpc, proof.authorization)
		done <- result{messages, failure}
	}()
	defer cancel()
	select {
	case ended := <-done:
		// It came in time or it did not come: the caller may have given up already.
		if stopped := Stopped(ctx); stopped != nil {
			return nil, stopped
		}
		return ended.messages, ended.failure
	case <-ctx.Done():
		stopped := Stopped(ctx)
		// A lost route would otherwise block the connection until TCP gives up.
		if stopped.Kind == Deadline && conn.heard.Load() == heardBefore {
			t.retire(conn)
		}
		return nil, stopped
	}
}

// Stopped is why the context ended, or nil. A deadline is judged by the clock, and not by a timer.
func Stopped(ctx context.Context) *Failure {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fail(Cancelled, "the caller cancelled")
	}
	deadline, ok := ctx.Deadline()
	late := time.Since(deadline)
	if ctx.Err() == nil && (!ok || late <= 0) {
		return nil
	}
	failure := fail(Deadline, "the deadline passed")
	failure.Busy = ok && late > busyAfter
	return failure
}

// Close breaks off what is under way, as unreachable, and closes every connection.
func (t *Transport) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for conn := range t.open {
		conn.close()
	}
}

// enter counts a call in on the current connection, or on a new one.
func (t *Transport) enter(certificate *tls.Certificate) (*connection, *Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, fail(Unavailable, "the client is closed")
	}
	if t.current != nil && (t.current.certificate != certificate || !t.current.usable()) {
		t.retireLocked(t.current)
		t.current = nil
	}
	if t.current == nil {
		t.current = dial(t.endpoint, certificate)
		t.open[t.current] = true
	}
	t.current.calls++
	return t.current, nil
}

func (t *Transport) leave(conn *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	conn.calls--
	t.closeIfIdle(conn)
}

func (t *Transport) retire(conn *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retireLocked(conn)
}

func (t *Transport) retireLocked(conn *connection) {
	conn.retired = true
	t.closeIfIdle(conn)
}

func (t *Transport) closeIfIdle(conn *connection) {
	if conn.retired && conn.calls == 0 {
		conn.close()
		delete(t.open, conn)
	}
}

// exchange sends one request and reads the whole reply.
func (t *Transport) exchange(ctx context.Context, conn *connection, rpc RPC, authorization string) ([][]byte, *Failure) {
	select {
	case <-conn.ready:
	case <-ctx.Done():
		return nil, fail(Unavailable, "there was no connection in time")
	}
	if conn.err != nil {
		t.retire(conn)
		return nil, fail(Unavailable, conn.err.Error())
	}
	request := t.request(ctx, rpc, authorization)
	response, err := conn.h2.RoundTrip(request)
	if err != nil {
		return nil, broken(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxReply+1))
	if len(body) > MaxReply {
		return nil, NewMalformed(fmt.Sprintf("the answer is over %d bytes", MaxReply))
	}
	if err != nil {
		return nil, broken(err)
	}
	return reply{response.StatusCode, response.Header, body, response.Trailer}.messages(rpc.Streams)
}

func (t *Transport) request(ctx context.Context, rpc RPC, authorization string) *http.Request {
	scheme := "http"
	if t.endpoint.Secure {
		scheme = "https"
	}
	authority := t.endpoint.Address
	if t.endpoint.Network == "unix" {
		authority = t.endpoint.Host
	}
	message := frame(rpc.Message)
	request := &http.Request{
		Method:        http.MethodPost,
		URL:           &url.URL{Scheme: scheme, Host: authority, Path: "/datacrawl.authz.v1.AuthorizeService/" + rpc.Method},
		Host:          authority,
		ContentLength: int64(len(message)),
		Body:          io.NopCloser(bytes.NewReader(message)),
		Header: http.Header{
			"Content-Type": {"application/grpc"},
			"Te":           {"trailers"},
			"Grpc-Timeout": {timeoutHeader(ctx, rpc.ServerTime)},
			"User-Agent":   {"datacrawl-go"},
		},
	}
	if authorization != "" {
		request.Header["Authorization"] = []string{authorization}
	}
	if rpc.Traceparent != "" {
		request.Header["Traceparent"] = []string{rpc.Traceparent}
	}
	return request.WithContext(ctx)
}

// timeoutHeader says how long the caller waits: at least a millisecond, and at most the eight digits that gRPC permits.
func timeoutHeader(ctx context.Context, serverTime time.Duration) string {
	left := serverTime
	if deadline, ok := ctx.Deadline(); ok && (serverTime == 0 || time.Until(deadline) < serverTime) {
		left = time.Until(deadline)
	}
	return fmt.Sprintf("%dm", min(99_999_999, max(1, left.Milliseconds())))
}

// broken is what an exchange comes to that has no whole reply.
func broken(err error) *Failure {
	var stream http2.StreamError
	var connection http2.ConnectionError
	var goAway http2.GoAwayError
	var protocol protocolError
	switch {
	case errors.As(err, &protocol):
		return NewMalformed("HTTP/2: " + protocol.Error())
	case errors.As(err, &stream):
		return brokenStream(stream)
	case errors.As(err, &goAway):
		return fail(Unavailable, "the connection was closed by the server: "+goAway.ErrCode.String())
	case errors.As(err, &connection), errors.Is(err, http2.ErrFrameTooLarge):
		return NewMalformed(fmt.Sprintf("the port does not speak HTTP/2 (%v); check that the URL names a gRPC port", err))
	default:
		return fail(Unavailable, err.Error())
	}
}

func brokenStream(err http2.StreamError) *Failure {
	switch err.Code {
	case http2.ErrCodeRefusedStream:
		return fail(Unavailable, "the server refused the call")
	// How the library ends a stream on which the server broke HTTP/2's rules.
	case http2.ErrCodeProtocol, http2.ErrCodeFlowControl, http2.ErrCodeStreamClosed, http2.ErrCodeFrameSize, http2.ErrCodeCompression:
		return NewMalformed("HTTP/2 error " + err.Code.String())
	default:
		return fail(Failed, "the stream was reset with HTTP/2 error "+err.Code.String())
	}
}
