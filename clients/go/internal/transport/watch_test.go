package transport

import (
	"bytes"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pieces hands out bytes in pieces of one size.
type pieces struct {
	net.Conn
	rest []byte
	size int
}

func (p *pieces) Read(to []byte) (int, error) {
	n := copy(to[:min(p.size, len(to))], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pieces) Write(from []byte) (int, error) { return len(from), nil }

// received is what the watch says to the frames of a server, after this side has opened stream 1.
func received(t *testing.T, size int, send func(framer *http2.Framer, to *bytes.Buffer)) error {
	t.Helper()
	var frames bytes.Buffer
	send(http2.NewFramer(&frames, nil), &frames)
	var heard atomic.Int64
	w := watch(&pieces{rest: frames.Bytes(), size: size}, &heard)
	var sent bytes.Buffer
	sent.WriteString(http2.ClientPreface)
	ours := http2.NewFramer(&sent, nil)
	_ = ours.WriteSettings()
	_ = ours.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "POST"), EndHeaders: true})
	_ = ours.WriteData(1, true, bytes.Repeat([]byte{1}, 100))
	for _, one := range sent.Bytes() {
		_, _ = w.Write([]byte{one})
	}
	total := frames.Len()
	buffer := make([]byte, 4096)
	for read := 0; read < total; {
		n, err := w.Read(buffer)
		if err != nil {
			return err
		}
		read += n
	}
	if heard.Load() != int64(total) {
		t.Errorf("%d bytes were heard, of %d", heard.Load(), total)
	}
	return nil
}

func block(pairs ...string) []byte {
	var to bytes.Buffer
	encoder := hpack.NewEncoder(&to)
	for index := 0; index < len(pairs); index += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: pairs[index], Value: pairs[index+1]})
	}
	return to.Bytes()
}

func headers(framer *http2.Framer, stream uint32, fragment []byte) {
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fragment, EndHeaders: true})
}

func TestRulesOfHTTP2ThatTheLibraryDoesNotKeep(t *testing.T) {
	for name, test := range map[string]struct {
		send func(framer *http2.Framer, to *bytes.Buffer)
		want string
	}{
		"a right answer": {func(f *http2.Framer, _ *bytes.Buffer) {
			_ = f.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
			headers(f, 1, block(":status", "200", "content-type", "application/grpc", "content-length", "7"))
			_ = f.WriteData(1, false, bytes.Repeat([]byte{0x20}, 3000))
			_ = f.WriteGoAway(1, http2.ErrCodeNo, nil)
			headers(f, 1, block("grpc-status", "0"))
			_ = f.WriteRSTStream(1, http2.ErrCodeNo)
		}, ""},
		"padding, priority and continuation": {func(f *http2.Framer, _ *bytes.Buffer) {
			all := append([]byte{0x3f, 0xe1, 0x1f}, block("grpc-status", "0", "x", "y")...)
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: all[:4], PadLength: 9, Priority: http2.PriorityParam{Weight: 3}})
			_ = f.WriteContinuation(1, true, all[4:])
		}, ""},
		"a forbidden field in a continuation": {func(f *http2.Framer, _ *bytes.Buffer) {
			all := block("grpc-status", "0", "upgrade", "h3")
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: all[:4], PadLength: 9})
			_ = f.WriteContinuation(1, true, all[4:])
		}, "forbids the field upgrade"},
		"a forbidden field":     {func(f *http2.Framer, _ *bytes.Buffer) { headers(f, 1, block("connection", "close")) }, "forbids the field connection"},
		"a length that is none": {func(f *http2.Framer, _ *bytes.Buffer) { headers(f, 1, block("content-length", "allow")) }, "content-length"},
		"a signed length":       {func(f *http2.Framer, _ *bytes.Buffer) { headers(f, 1, block("content-length", "+5")) }, "content-length"},
		"two lengths": {func(f *http2.Framer, _ *bytes.Buffer) {
			headers(f, 1, block("content-length", "5", "content-length", "5"))
		}, "content-length"},
		"a late table size":       {func(f *http2.Framer, _ *bytes.Buffer) { headers(f, 1, append(block("a", "b"), 0x20)) }, "table changes"},
		"noise":                   {func(f *http2.Framer, _ *bytes.Buffer) { headers(f, 1, bytes.Repeat([]byte{0xff}, 40)) }, "malformed"},
		"a block that is cut":     {func(f *http2.Framer, _ *bytes.Buffer) { all := block("abc", "def"); headers(f, 1, all[:len(all)-1]) }, "malformed"},
		"RST_STREAM on no stream": {func(f *http2.Framer, _ *bytes.Buffer) { _ = f.WriteRSTStream(3, 0) }, "nobody opened"},
		"ENABLE_PUSH": {func(f *http2.Framer, _ *bytes.Buffer) {
			_ = f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1}, http2.Setting{ID: http2.SettingEnablePush, Val: 1})
		}, "ENABLE_PUSH"},
		"an answer that was disowned": {func(f *http2.Framer, _ *bytes.Buffer) {
			_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
			headers(f, 1, block(":status", "200"))
		}, "disowned"},
	} {
		for _, size := range []int{1, 7, 4096} {
			err := received(t, size, test.send)
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%s, in pieces of %d: %v", name, size, err)
			}
		}
	}
}

func FuzzWatch(f *testing.F) {
	f.Add(append([]byte{0, 0, 4, 1, 4, 0, 0, 0, 1}, block("a", "b")...), byte(3))
	f.Add([]byte{0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1}, byte(1))
	f.Fuzz(func(_ *testing.T, frames []byte, size byte) {
		var heard atomic.Int64
		w := watch(&pieces{rest: frames, size: int(size) + 1}, &heard)
		buffer := make([]byte, 64)
		for range len(frames) + 1 {
			if _, err := w.Read(buffer); err != nil {
				return
			}
		}
	})
}
