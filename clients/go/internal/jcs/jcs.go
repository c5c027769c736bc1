// Package jcs turns payloads into canonical JSON (RFC 8785), within the contract's limits.
package jcs

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of the contract.
const (
	MaxBytes = 256 * 1024
	MaxDepth = 32
)

// maxExact is 2^53 - 1. Beyond it a double stands for several integers, so what was approved could differ from what runs.
const maxExact = 1<<53 - 1

// maxNumberText bounds the work on a json.Number. The longest text of a double needs 767 digits.
const maxNumberText = 1024

// An Error names the part of a payload that is not JSON, or is over a limit.
type Error struct {
	// Path leads to the part, such as payload.to[0].
	Path    string
	Problem string
}

func (e *Error) Error() string { return shortened(e.Path) + " " + e.Problem }

// Paths hold names of payload members, which are the caller's text.
func shortened(path string) string {
	if len(path) <= 200 {
		return path
	}
	return strings.ToValidUTF8(path[:200], "") + "…"
}

// Object is the payload as plain JSON: map[string]any, []any, string, float64, bool and nil, each value read once. Types that
// encoding/json would convert by itself (structs, pointers, []byte, time.Time) are refused: the tool would get another value than the
// one that was asked about.
func Object(payload map[string]any) (map[string]any, error) {
	r := reader{budget: MaxBytes}
	object := make(map[string]any, len(payload))
	for name, value := range payload {
		if err := r.member(object, name, reflect.ValueOf(value), "payload", MaxDepth-1); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// reader bounds the work on values that are small in memory and large as JSON, such as one map many times over: each value takes at
// least one byte of the budget.
type reader struct{ budget int }

func (r *reader) spend(bytes int, path string) error {
	if r.budget -= bytes; r.budget < 0 {
		return &Error{"payload", fmt.Sprintf("must be at most %d bytes of canonical JSON", MaxBytes)}
	}
	return nil
}

func (r *reader) member(object map[string]any, name string, value reflect.Value, path string, depth int) error {
	if err := checkText(name, path); err != nil {
		return err
	}
	if err := r.spend(len(name)+3, path); err != nil {
		return err
	}
	read, err := r.value(value, path+"."+name, depth)
	object[name] = read
	return err
}

// depth is how many levels may still be opened.
func (r *reader) value(v reflect.Value, path string, depth int) (any, error) {
	if err := r.spend(1, path); err != nil {
		return nil, err
	}
	if v.IsValid() && v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil, nil
	}
	if number, ok := v.Interface().(json.Number); ok {
		return numberOf(string(number), path)
	}
	switch v.Interface().(type) {
	case json.Marshaler, encoding.TextMarshaler:
		return nil, notJSON(v, path)
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.String:
		if err := checkText(v.String(), path); err != nil {
			return nil, err
		}
		return v.String(), r.spend(len(v.String()), path)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Int() > maxExact || v.Int() < -maxExact {
			return nil, inexact(strconv.FormatInt(v.Int(), 10), path)
		}
		return float64(v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if v.Uint() > maxExact {
			return nil, inexact(strconv.FormatUint(v.Uint(), 10), path)
		}
		return float64(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return checkNumber(v.Float(), path)
	case reflect.Slice, reflect.Array:
		return r.array(v, path, depth)
	case reflect.Map:
		return r.object(v, path, depth)
	default:
		return nil, notJSON(v, path)
	}
}

func (r *reader) array(v reflect.Value, path string, depth int) (any, error) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return nil, &Error{path, fmt.Sprintf("must be a JSON value, is a %s: encode it as a string", v.Type())}
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		return nil, nil
	}
	if depth < 1 {
		return nil, tooDeep(path)
	}
	items := make([]any, 0, min(v.Len(), r.budget+1))
	for index := range v.Len() {
		item, err := r.value(v.Index(index), path+"["+strconv.Itoa(index)+"]", depth-1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (r *reader) object(v reflect.Value, path string, depth int) (any, error) {
	if v.Type().Key().Kind() != reflect.String || v.Type().Key().Implements(textMarshaler) {
		return nil, &Error{path, fmt.Sprintf("must have names that are strings, is a %s", v.Type())}
	}
	if v.IsNil() {
		return nil, nil
	}
	if depth < 1 {
		return nil, tooDeep(path)
	}
	object := make(map[string]any, min(v.Len(), r.budget+1))
	for entries := v.MapRange(); entries.Next(); {
		if err := r.member(object, entries.Key().String(), entries.Value(), path, depth-1); err != nil {
			return nil, err
		}
	}
	return object, nil
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// checkText also finds what other languages call lone surrogates: UTF-8 cannot hold them.
func checkText(text, path string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return &Error{path, "must not contain NUL"}
	}
	if !utf8.ValidString(text) {
		return &Error{path, "must be valid UTF-8"}
	}
	return nil
}

func checkNumber(number float64, path string) (float64, error) {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return 0, &Error{path, fmt.Sprintf("must be a finite number, is %v", number)}
	}
	if number == math.Trunc(number) && math.Abs(number) > maxExact {
		return 0, inexact(strconv.FormatFloat(number, 'g', -1, 64), path)
	}
	return number, nil
}

// numberOf also refuses texts that a double rounds to another integer: 0.99999999999999999999 would become 1.
func numberOf(text, path string) (float64, error) {
	if len(text) > maxNumberText {
		return 0, &Error{path, fmt.Sprintf("is a number of more than %d characters", maxNumberText)}
	}
	if !json.Valid([]byte(text)) || strings.Trim(text, "-+.eE0123456789") != "" {
		return 0, &Error{path, fmt.Sprintf("must be a number, is the json.Number %q", text)}
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, &Error{path, "must be a finite number, is " + text}
	}
	if _, err := checkNumber(number, path); err != nil {
		return 0, err
	}
	if number != math.Trunc(number) {
		return number, nil
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	if number == 0 {
		if strings.Trim(mantissa, "-.0") != "" {
			return 0, inexact(text, path)
		}
		return 0, nil
	}
	// The exponent is small, since the number is between 1 and 2^53 and its text is short.
	exact, ok := new(big.Rat).SetString(text)
	if !ok || exact.Cmp(new(big.Rat).SetFloat64(number)) != 0 {
		return 0, inexact(text, path)
	}
	return number, nil
}

func inexact(number, path string) error {
	return &Error{path, fmt.Sprintf("is %s, which is not an integer that a double holds exactly (±%d); send it as a string", number, maxExact)}
}

func notJSON(v reflect.Value, path string) error {
	return &Error{path, fmt.Sprintf("must be a JSON value, is a %s", v.Type())}
}

func tooDeep(path string) error {
	return &Error{path, fmt.Sprintf("is nested deeper than %d levels, or contains itself", MaxDepth)}
}

// Canonical is the RFC 8785 text of an object that [Object] has read, at most [MaxBytes] long.
func Canonical(object map[string]any) (string, error) {
	text := appendValue(nil, object)
	if len(text) > MaxBytes {
		return "", &Error{"payload", fmt.Sprintf("must be at most %d bytes of canonical JSON, is %d", MaxBytes, len(text))}
	}
	return string(text), nil
}

func appendValue(to []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(to, "null"...)
	case bool:
		return strconv.AppendBool(to, v)
	case float64:
		return AppendNumber(to, v)
	case string:
		return AppendString(to, v)
	case []any:
		to = append(to, '[')
		for index, item := range v {
			if index > 0 {
				to = append(to, ',')
			}
			to = appendValue(to, item)
		}
		return append(to, ']')
	case map[string]any:
		to = append(to, '{')
		for index, name := range sortedNames(v) {
			if index > 0 {
				to = append(to, ',')
			}
			to = append(AppendString(to, name), ':')
			to = appendValue(to, v[name])
		}
		return append(to, '}')
	default:
		panic(fmt.Sprintf("jcs: a %T is not what Object returns", value))
	}
}

// sortedNames sorts by UTF-16 code units, as RFC 8785 wants it: characters beyond U+FFFF come before U+E000.
func sortedNames(object map[string]any) []string {
	names := make([]string, 0, len(object))
	ascii := true
	for name := range object {
		names = append(names, name)
		ascii = ascii && !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf })
	}
	if ascii {
		slices.Sort(names)
		return names
	}
	slices.SortFunc(names, func(a, b string) int {
		return slices.CompareFunc(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)), cmp.Compare[uint16])
	})
	return names
}

// AppendNumber writes a finite number as ECMAScript does.
func AppendNumber(to []byte, number float64) []byte {
	if number == 0 {
		return append(to, '0') // of either sign
	}
	if magnitude := math.Abs(number); magnitude >= 1e-6 && magnitude < 1e21 {
		return strconv.AppendFloat(to, number, 'f', -1, 64)
	}
	to = strconv.AppendFloat(to, number, 'e', -1, 64)
	// Go writes e-07 where ECMAScript writes e-7.
	if n := len(to); n >= 4 && to[n-4] == 'e' && to[n-2] == '0' {
		to[n-2] = to[n-1]
		to = to[:n-1]
	}
	return to
}

// AppendString writes a string with no more escapes than JSON needs.
func AppendString(to []byte, text string) []byte {
	to = append(to, '"')
	for _, r := range text {
		switch r {
		case '"', '\\':
			to = append(to, '\\', byte(r))
		case '\b':
			to = append(to, `\b`...)
		case '\t':
			to = append(to, `\t`...)
		case '\n':
			to = append(to, `\n`...)
		case '\f':
			to = append(to, `\f`...)
		case '\r':
			to = append(to, `\r`...)
		default:
			if r < ' ' {
				to = fmt.Appendf(to, `\u%04x`, r)
			} else {
				to = utf8.AppendRune(to, r)
			}
		}
	}
	return append(to, '"')
}

// Copy is a deep copy of maps, slices and arrays, with the same types, so that later changes of the caller's values do not reach the
// tool. What is nested too deep is left out, and refused by [Object].
func Copy(payload map[string]any) map[string]any {
	budget := MaxBytes
	copied, _ := copyValue(reflect.ValueOf(payload), MaxDepth+1, &budget).Interface().(map[string]any)
	return copied
}

func copyValue(v reflect.Value, depth int, budget *int) reflect.Value {
	if *budget--; *budget < 0 || depth < 0 {
		return v
	}
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		copied := reflect.New(v.Type()).Elem()
		copied.Set(copyValue(v.Elem(), depth, budget))
		return copied
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		copied := reflect.MakeMapWithSize(v.Type(), 0)
		for entries := v.MapRange(); entries.Next(); {
			copied.SetMapIndex(entries.Key(), copyValue(entries.Value(), depth-1, budget))
		}
		return copied
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		copied := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for index := range v.Len() {
			copied.Index(index).Set(copyValue(v.Index(index), depth-1, budget))
		}
		return copied
	case reflect.Array:
		copied := reflect.New(v.Type()).Elem()
		for index := range v.Len() {
			copied.Index(index).Set(copyValue(v.Index(index), depth-1, budget))
		}
		return copied
	default:
		return v
	}
}
