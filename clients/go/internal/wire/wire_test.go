package wire

import (
	"strings"
	"testing"
	"time"
)

func TestMessagesThatTwoParsersCouldReadDifferentlyAreRefused(t *testing.T) {
	for name, message := range map[string]string{
		"has number twice":                                   "\x08\x01\x08\x01",
		"has number with wire type 2":                        "\x0a\x01\x01",
		"has text with wire type 0":                          "\x10\x01",
		"has a field numbered 0":                             "\x00\x01",
		"has a varint that is longer than its shortest form": "\x08\x81\x00",
		"has a varint of more than 64 bits":                  "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"is cut short":                                       "\x12\x02a",
		"is not valid UTF-8":                                 "\x12\x01\xff",
		"has a tag out of range":                             "\x88\x80\x80\x80\x10\x01",
		"has a length out of range":                          "\x12\x80\x80\x80\x80\x10",
		"has a field of wire type 3":                         "\x33\x34",
		"has time twice":                                     "\x1a\x00\x1a\x00",
		"has a time that is out of range":                    "\x1a\x06\x10\x80\x94\xeb\xdc\x03",
		"has time with wire type 2":                          "\x1a\x02\x0a\x00",
	} {
		var number uint64
		var text string
		var at *time.Time
		err := Decode([]byte(message), map[uint64]Field{1: {"number", &number}, 2: {"text", &text}, 3: {"time", &at}})
		if err == nil || err.Error() != name {
			t.Errorf("%q: %v, want %s", message, err, name)
		}
	}
}

func TestUnknownFieldsArePassedOver(t *testing.T) {
	var number uint64
	var data []byte
	var at *time.Time
	message := "\x20\x05\x29" + strings.Repeat("\x01", 8) + "\x32\x01x\x3d" + strings.Repeat("\x01", 4) + "\x08\x07\x12\x01\x00\x1a\x04\x08\x05\x10\x09"
	err := Decode([]byte(message), map[uint64]Field{1: {"number", &number}, 2: {"data", &data}, 3: {"time", &at}})
	if err != nil || number != 7 || string(data) != "\x00" || at.Unix() != 5 || at.Nanosecond() != 9 {
		t.Fatalf("%v %v %q %v", err, number, data, at)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x08\x07\x12\x01x\x1a\x04\x08\x05\x10\x09"))
	f.Fuzz(func(_ *testing.T, message []byte) {
		var number uint64
		var text string
		var at *time.Time
		_ = Decode(message, map[uint64]Field{1: {"number", &number}, 2: {"text", &text}, 3: {"time", &at}})
	})
}
