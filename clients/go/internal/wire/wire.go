// Package wire reads messages of the service, strictly: what two parsers could read differently is an error. protobuf-go takes the last of
// repeated fields, cuts numbers to 32 bits, and accepts varints in too many bytes; each of these can turn a spoiled answer into ALLOW.
package wire

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// An Undecodable error ends the sentence that begins with the message.
type Undecodable string

func (u Undecodable) Error() string { return string(u) }

// A Field is a known field of a message.
type Field struct {
	Name string
	// To is a *uint64, *string, *[]byte or **time.Time.
	To any
}

const (
	varint  = 0
	fixed64 = 1
	bytes   = 2
	fixed32 = 5
)

// Decode reads each known field at most once, and of its wire type. Unknown fields are passed over, so that the contract can grow.
func Decode(message []byte, fields map[uint64]Field) error {
	r := reader{rest: message}
	seen := make(map[uint64]bool, len(fields))
	for len(r.rest) > 0 {
		number, wireType, err := r.tag()
		if err != nil {
			return err
		}
		field, known := fields[number]
		if !known {
			if err := r.skip(wireType); err != nil {
				return err
			}
			continue
		}
		if _, isNumber := field.To.(*uint64); (wireType == varint) != isNumber || (!isNumber && wireType != bytes) {
			return Undecodable(fmt.Sprintf("has %s with wire type %d", field.Name, wireType))
		}
		if seen[number] {
			return Undecodable(fmt.Sprintf("has %s twice", field.Name))
		}
		seen[number] = true
		if err := r.field(field); err != nil {
			return err
		}
	}
	return nil
}

type reader struct{ rest []byte }

func (r *reader) field(field Field) (err error) {
	switch to := field.To.(type) {
	case *uint64:
		*to, err = r.varint()
	case *string:
		var text []byte
		if text, err = r.bytes(); err == nil && !utf8.Valid(text) {
			return Undecodable("is not valid UTF-8")
		}
		*to = string(text)
	case *[]byte:
		*to, err = r.bytes()
	case **time.Time:
		var message []byte
		if message, err = r.bytes(); err == nil {
			*to, err = timestamp(message, field.Name)
		}
	default:
		panic(fmt.Sprintf("wire: %s is a %T", field.Name, field.To))
	}
	return err
}

func (r *reader) tag() (number uint64, wireType int, err error) {
	tag, err := r.uint32("a tag")
	if err == nil && tag < 8 {
		err = Undecodable("has a field numbered 0")
	}
	return tag >> 3, int(tag & 7), err
}

func (r *reader) uint32(what string) (uint64, error) {
	value, err := r.varint()
	if err == nil && value > math.MaxUint32 {
		err = Undecodable(fmt.Sprintf("has %s out of range", what))
	}
	return value, err
}

func (r *reader) varint() (value uint64, err error) {
	for index := range 10 {
		if index >= len(r.rest) {
			return 0, Undecodable("is cut short")
		}
		b := r.rest[index]
		if index == 9 && b > 1 {
			break
		}
		value |= uint64(b&0x7f) << (7 * index)
		if b < 0x80 {
			if b == 0 && index > 0 {
				return 0, Undecodable("has a varint that is longer than its shortest form")
			}
			r.rest = r.rest[index+1:]
			return value, nil
		}
	}
	return 0, Undecodable("has a varint of more than 64 bits")
}

func (r *reader) bytes() ([]byte, error) {
	length, err := r.uint32("a length")
	if err != nil {
		return nil, err
	}
	return r.take(length)
}

func (r *reader) take(length uint64) ([]byte, error) {
	if length > uint64(len(r.rest)) {
		return nil, Undecodable("is cut short")
	}
	taken := r.rest[:length]
	r.rest = r.rest[length:]
	return taken, nil
}

func (r *reader) skip(wireType int) (err error) {
	switch wireType {
	case varint:
		_, err = r.varint()
	case fixed64:
		_, err = r.take(8)
	case bytes:
		_, err = r.bytes()
	case fixed32:
		_, err = r.take(4)
	default:
		err = Undecodable(fmt.Sprintf("has a field of wire type %d", wireType))
	}
	return err
}

// The seconds of the last time whose microseconds a double holds exactly, which is what other clients keep.
const maxSeconds = (1<<53 - 1) / 1_000_000

// timestamp reads a google.protobuf.Timestamp between 1970 and 2255.
func timestamp(message []byte, name string) (*time.Time, error) {
	var seconds, nanos uint64
	fields := map[uint64]Field{1: {name, &seconds}, 2: {name, &nanos}}
	if err := Decode(message, fields); err != nil {
		return nil, err
	}
	if seconds >= maxSeconds || nanos > 999_999_999 {
		return nil, Undecodable(fmt.Sprintf("has a %s that is out of range", name))
	}
	read := time.Unix(int64(seconds), int64(nanos)).UTC()
	return &read, nil
}
