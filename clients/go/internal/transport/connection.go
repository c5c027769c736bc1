package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// connection is one HTTP/2 connection. Its calls wait until it is made. A retired one takes no new calls, and closes when its last call
// has ended.
type connection struct {
	certificate *tls.Certificate
	// ready is closed when h2 or err is set.
	ready chan struct{}
	h2    *http2.ClientConn
	err   error
	// The bytes that have arrived, to tell a slow server from a silent one.
	heard atomic.Int64
	stop  context.CancelFunc

	// Of the transport's mutex.
	calls   int
	retired bool
}

// dial makes a connection in the background. No proxy has a part in it.
func dial(endpoint Endpoint, certificate *tls.Certificate) *connection {
	ctx, stop := context.WithCancel(context.Background())
	c := &connection{certificate: certificate, ready: make(chan struct{}), stop: stop}
	go func() {
		c.err = c.open(ctx, endpoint, certificate)
		close(c.ready)
		// close found it not ready, and left it to this goroutine.
		if ctx.Err() != nil {
			c.close()
		}
	}()
	return c
}

func (c *connection) open(ctx context.Context, endpoint Endpoint, certificate *tls.Certificate) error {
	socket, err := connect(ctx, endpoint, certificate)
	if err != nil {
		return err
	}
	c.h2, err = newHTTP2().NewClientConn(watch(socket, &c.heard))
	if err != nil {
		_ = socket.Close()
	}
	return err
}

func newHTTP2() *http2.Transport {
	return &http2.Transport{
		AllowHTTP:          true,
		DisableCompression: true,
		MaxHeaderListSize:  64 << 10,
		// Calls over the server's limit wait for their turn, instead of retiring the connection.
		StrictMaxConcurrentStreams: true,
		// A peer that reads nothing for so long is gone.
		WriteByteTimeout: 30 * time.Second,
	}
}

func connect(ctx context.Context, endpoint Endpoint, certificate *tls.Certificate) (net.Conn, error) {
	dialer := &net.Dialer{KeepAlive: 30 * time.Second}
	socket, err := dialer.DialContext(ctx, endpoint.Network, endpoint.Address)
	if err != nil || !endpoint.Secure {
		return socket, err
	}
	config := &tls.Config{
		ServerName: endpoint.Host,
		RootCAs:    endpoint.RootCAs,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2"},
	}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	secure := tls.Client(socket, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = socket.Close()
		return nil, err
	}
	if secure.ConnectionState().NegotiatedProtocol != "h2" {
		_ = secure.Close()
		return nil, errors.New("the server does not speak HTTP/2")
	}
	return secure, nil
}

// usable is false also after GOAWAY.
func (c *connection) usable() bool {
	if c.retired {
		return false
	}
	select {
	case <-c.ready:
		return c.err == nil && c.h2.CanTakeNewRequest()
	default:
		return true
	}
}

// close ends the connection and what is under way on it.
func (c *connection) close() {
	c.stop()
	select {
	case <-c.ready:
		if c.err == nil {
			_ = c.h2.Close()
		}
	default: // the goroutine that makes it closes it
	}
}
