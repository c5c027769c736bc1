package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// watchedConn reads along what the HTTP/2 library gets, and ends the connection where the server breaks a rule of HTTP/2 that the library
// does not hold it to: HEADERS on streams that GOAWAY disowned, RST_STREAM on streams that nobody opened, ENABLE_PUSH from a server,
// header fields that HTTP/2 forbids, lengths that are no lengths, and table sizes that change amid a header block.
type watchedConn struct {
	net.Conn
	heard *atomic.Int64

	received frameScanner
	sent     frameScanner
	// The highest stream that this side has opened.
	opened atomic.Uint32
	// The highest stream that GOAWAY left.
	left uint32

	decoder *hpack.Decoder
	fields  []hpack.HeaderField
	// The header block that is being received, and its stream.
	block  []byte
	stream uint32
}

// A protocolError ends the connection.
type protocolError string

func (e protocolError) Error() string { return string(e) }

// The table that HTTP/2 begins with. The library announces no other.
const headerTableBytes = 4096

func watch(conn net.Conn, heard *atomic.Int64) *watchedConn {
	w := &watchedConn{Conn: conn, heard: heard, left: 1<<31 - 1}
	w.decoder = hpack.NewDecoder(headerTableBytes, func(field hpack.HeaderField) { w.fields = append(w.fields, field) })
	w.received.frame = w.receive
	w.sent.skip = len(http2.ClientPreface)
	w.sent.frame = func(header http2.FrameHeader, _ []byte) error {
		if header.Type == http2.FrameHeaders {
			w.opened.Store(header.StreamID)
		}
		return nil
	}
	return w
}

func (w *watchedConn) Read(to []byte) (int, error) {
	n, err := w.Conn.Read(to)
	w.heard.Add(int64(n))
	if broken := w.received.scan(to[:n]); broken != nil {
		return 0, broken
	}
	return n, err
}

func (w *watchedConn) Write(from []byte) (int, error) {
	// Before it is sent: the answer may come before Write returns.
	_ = w.sent.scan(from)
	return w.Conn.Write(from)
}

func (w *watchedConn) receive(header http2.FrameHeader, payload []byte) error {
	switch header.Type {
	case http2.FrameRSTStream:
		if header.StreamID > w.opened.Load() {
			return protocolError("RST_STREAM on a stream that nobody opened")
		}
	case http2.FrameSettings:
		for ; len(payload) >= 6; payload = payload[6:] {
			isPush := binary.BigEndian.Uint16(payload) == uint16(http2.SettingEnablePush)
			if isPush && binary.BigEndian.Uint32(payload[2:]) != 0 {
				return protocolError("ENABLE_PUSH from a server")
			}
		}
	case http2.FrameGoAway:
		if len(payload) >= 4 {
			w.left = min(w.left, binary.BigEndian.Uint32(payload)&(1<<31-1))
		}
	case http2.FrameHeaders:
		if header.StreamID > w.left {
			return protocolError("HEADERS on a stream that GOAWAY disowned")
		}
		w.stream, w.block = header.StreamID, append(w.block[:0], fragment(header.Flags, payload)...)
		return w.blockEnds(header.Flags)
	case http2.FrameContinuation:
		if header.StreamID == w.stream {
			w.block = append(w.block, payload...)
			return w.blockEnds(header.Flags)
		}
	}
	return nil
}

// fragment is the part of a HEADERS frame that belongs to the header block. What is malformed is the library's to refuse.
func fragment(flags http2.Flags, payload []byte) []byte {
	if flags.Has(http2.FlagHeadersPadded) && len(payload) > 0 {
		padding := int(payload[0])
		payload = payload[1:max(1, len(payload)-padding)]
	}
	if flags.Has(http2.FlagHeadersPriority) {
		payload = payload[min(5, len(payload)):]
	}
	return payload
}

func (w *watchedConn) blockEnds(flags http2.Flags) error {
	// The same bit in HEADERS and CONTINUATION.
	if !flags.Has(http2.FlagHeadersEndHeaders) {
		return nil
	}
	if changesTableLate(w.block) {
		return protocolError("the size of the header table changes amid a header block")
	}
	w.fields = w.fields[:0]
	if _, err := w.decoder.Write(w.block); err != nil {
		return protocolError("the header block is malformed")
	}
	if err := w.decoder.Close(); err != nil {
		return protocolError("the header block is malformed")
	}
	lengths := 0
	for _, field := range w.fields {
		switch {
		case slices.Contains(forbiddenFields, field.Name):
			return protocolError(fmt.Sprintf("HTTP/2 forbids the field %s", field.Name))
		case field.Name == "content-length":
			if _, err := strconv.ParseUint(field.Value, 10, 63); err != nil || lengths > 0 {
				return protocolError("content-length is not one number")
			}
			lengths++
		}
	}
	return nil
}

var forbiddenFields = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}

// changesTableLate walks over the representations of a header block (RFC 7541, section 6). A change of the table's size comes before all
// fields; the library does not mind.
func changesTableLate(block []byte) bool {
	for hasField := false; len(block) > 0; {
		first := block[0]
		switch {
		case first&0x80 != 0: // an indexed field
			block = afterInteger(block, 7)
			hasField = true
		case first&0xe0 == 0x20: // a change of the table's size
			if hasField {
				return true
			}
			block = afterInteger(block, 5)
		default: // a literal, with the name's index or the name
			bits := 4
			if first&0x40 != 0 {
				bits = 6
			}
			named := first&(1<<bits-1) != 0
			block = afterInteger(block, bits)
			if !named {
				block = afterString(block)
			}
			block = afterString(block)
			hasField = true
		}
	}
	return false
}

// afterInteger returns nothing where the block is malformed, which the decoder refuses.
func afterInteger(block []byte, bits int) []byte {
	_, rest := integer(block, bits)
	return rest
}

func afterString(block []byte) []byte {
	length, rest := integer(block, 7)
	return rest[min(length, uint64(len(rest))):]
}

func integer(block []byte, bits int) (value uint64, rest []byte) {
	if len(block) == 0 {
		return 0, nil
	}
	limit := uint64(1)<<bits - 1
	value = uint64(block[0]) & limit
	if value < limit {
		return value, block[1:]
	}
	for index, b := range block[1:] {
		if index > 8 {
			return 0, nil
		}
		value += uint64(b&0x7f) << (7 * index)
		if b < 0x80 {
			return value, block[index+2:]
		}
	}
	return 0, nil
}

const frameHeaderBytes = 9

// The library refuses frames that are longer, since it announces no other limit.
const maxFrameBytes = 1 << 14

// frameScanner finds the frames in a stream of bytes that comes in pieces.
type frameScanner struct {
	// Called with each frame; the payload is there for those that are looked into.
	frame func(header http2.FrameHeader, payload []byte) error
	// Bytes to pass over.
	skip int
	// The beginning of a frame whose rest has not come.
	held []byte
}

func (s *frameScanner) scan(bytes []byte) error {
	for len(bytes) > 0 {
		if s.skip > 0 {
			passed := min(s.skip, len(bytes))
			s.skip -= passed
			bytes = bytes[passed:]
			continue
		}
		wanted := frameHeaderBytes
		if len(s.held) >= frameHeaderBytes {
			wanted += length(s.held)
		}
		taken := min(wanted-len(s.held), len(bytes))
		s.held = append(s.held, bytes[:taken]...)
		bytes = bytes[taken:]
		if len(s.held) < frameHeaderBytes {
			continue
		}
		if err := s.header(); err != nil {
			return err
		}
	}
	return nil
}

// header looks at a frame whose header is there.
func (s *frameScanner) header() error {
	header := http2.FrameHeader{
		Type:     http2.FrameType(s.held[3]),
		Flags:    http2.Flags(s.held[4]),
		StreamID: binary.BigEndian.Uint32(s.held[5:]) & (1<<31 - 1),
	}
	size := length(s.held)
	isRead := header.Type != http2.FrameData && size <= maxFrameBytes
	if isRead && len(s.held) < frameHeaderBytes+size {
		return nil
	}
	payload := s.held[frameHeaderBytes:]
	if !isRead {
		s.skip = size
		payload = nil
	}
	s.held = s.held[:0]
	return s.frame(header, payload)
}

func length(header []byte) int {
	return int(header[0])<<16 | int(header[1])<<8 | int(header[2])
}
