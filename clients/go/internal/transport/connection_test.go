package transport

import (
	"io"
	"net"
	"testing"
	"time"
)

// A connection may be closed at each moment of its making, and then its socket is closed.
func TestAConnectionThatIsClosedWhileItIsMadeIsNotLeft(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1000)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	endpoint := Endpoint{Network: "tcp", Address: listener.Addr().String(), Host: "127.0.0.1"}
	for moment := range 400 {
		c := dial(endpoint, nil)
		time.Sleep(time.Duration(moment) * time.Microsecond)
		c.close()
		<-c.ready
	}
	// What the kernel made by itself may still be waiting to be accepted.
	time.Sleep(100 * time.Millisecond)
	_ = listener.Close()
	for conn := range accepted {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		// To its end: the client's preface may have been sent.
		if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
			t.Fatal("a socket is left open")
		}
		_ = conn.Close()
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
