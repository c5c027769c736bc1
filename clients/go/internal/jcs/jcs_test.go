package jcs

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func vectors(t *testing.T, to any) {
	t.Helper()
	text, err := os.ReadFile("../../../vectors/canonical-json.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

// parsed is JSON text as this language's parser reads it, with doubles.
func parsed(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func TestCanonicalTextsOfTheSharedVectors(t *testing.T) {
	var file struct {
		Values, Fractions, InexactIntegers []struct{ Name, JSON, Canonical string }
	}
	vectors(t, &file)
	if len(file.Values) < 20 || len(file.Fractions) < 20 || len(file.InexactIntegers) < 5 {
		t.Fatal("the vectors are not there")
	}
	for _, one := range append(file.Values, file.Fractions...) {
		for name, value := range map[string]any{"double": parsed(t, one.JSON), "json.Number": numbers(t, one.JSON)} {
			object, err := Object(map[string]any{"value": value})
			if err != nil {
				t.Errorf("%s as %s: %v", one.JSON, name, err)
				continue
			}
			canonical, err := Canonical(object)
			if want := `{"value":` + one.Canonical + "}"; err != nil || canonical != want {
				t.Errorf("%s as %s is %s (%v), want %s", one.JSON, name, canonical, err, want)
			}
		}
	}
	for _, one := range file.InexactIntegers {
		if canonical := string(AppendNumber(nil, parsed(t, one.JSON).(float64))); canonical != one.Canonical {
			t.Errorf("%s is %s, want %s", one.JSON, canonical, one.Canonical)
		}
		for name, value := range map[string]any{"double": parsed(t, one.JSON), "json.Number": json.Number(one.JSON)} {
			if _, err := Object(map[string]any{"value": value}); err == nil {
				t.Errorf("%s as %s is not refused", one.JSON, name)
			}
		}
	}
}

func numbers(t *testing.T, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestPayloadsThatTheSharedVectorsRefuse(t *testing.T) {
	var file struct {
		Refused []struct{ Name, JSON, Why string }
		Depths  []struct {
			Of       string
			Depth    int
			Accepted bool
		}
		Sizes []struct {
			Unit     string
			Times    int
			Accepted bool
		}
	}
	vectors(t, &file)
	played := 0
	for _, one := range file.Refused {
		// A map[string]any cannot be another value; the parser replaces lone surrogates, and refuses numbers that are not finite.
		if one.Why != "nul" {
			continue
		}
		played++
		if _, err := Object(parsed(t, one.JSON).(map[string]any)); err == nil {
			t.Errorf("%s is not refused", one.Name)
		}
	}
	for _, one := range file.Depths {
		open, shut := `{"a":`, "}"
		if one.Of == "arrays" {
			open, shut = "[", "]"
		}
		text := "{}"
		if one.Depth > 1 && one.Of == "objects" {
			text = strings.Repeat(open, one.Depth-1) + "{}" + strings.Repeat(shut, one.Depth-1)
		} else if one.Depth > 1 {
			text = `{"a":` + strings.Repeat(open, one.Depth-1) + strings.Repeat(shut, one.Depth-1) + "}"
		}
		played++
		if _, err := Object(parsed(t, text).(map[string]any)); (err == nil) != one.Accepted {
			t.Errorf("%d levels of %s: %v", one.Depth, one.Of, err)
		}
	}
	for _, one := range file.Sizes {
		object, err := Object(map[string]any{"a": strings.Repeat(one.Unit, one.Times)})
		if err == nil {
			_, err = Canonical(object)
		}
		played++
		if (err == nil) != one.Accepted {
			t.Errorf("%d times %q: %v", one.Times, one.Unit, err)
		}
	}
	if played < 10 {
		t.Fatalf("only %d vectors were played", played)
	}
}

type marshaled struct{}

func (marshaled) MarshalJSON() ([]byte, error) { return []byte("1"), nil }

type text string

func (text) MarshalText() ([]byte, error) { return []byte("other"), nil }

func TestValuesThatAreNotJSONAreRefusedByTheirPath(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"] = cycle
	list := make([]any, 1)
	list[0] = list
	number := 1
	for name, value := range map[string]any{
		"a channel":                       make(chan int),
		"a func":                          func() {},
		"NaN":                             math.NaN(),
		"infinity":                        math.Inf(-1),
		"a complex number":                1i,
		"a cycle of maps":                 cycle,
		"a cycle of slices":               list,
		"a lone surrogate in WTF-8":       "a\xed\xa0\x80",
		"a string that is not UTF-8":      "\xff",
		"NUL":                             "a\x00b",
		"a name that is not UTF-8":        map[string]any{"\xff": 1},
		"bytes":                           []byte("abc"),
		"an array of bytes":               [2]byte{1, 2},
		"a time":                          time.Now(),
		"a struct":                        struct{ A int }{1},
		"a pointer":                       &number,
		"a json.Marshaler":                marshaled{},
		"a TextMarshaler":                 text("one"),
		"names that are numbers":          map[int]string{1: "a"},
		"names that marshal as others":    map[text]string{"a": "a"},
		"an int64 beyond 2^53":            int64(1 << 53),
		"a uint64 beyond 2^53":            uint64(1 << 63),
		"a negative int beyond 2^53":      -(1 << 53),
		"a double beyond 2^53":            float64(1 << 53),
		"a number text beyond 2^53":       json.Number("9007199254740993"),
		"a number text that is rounded":   json.Number("0.99999999999999999999"),
		"a number text that vanishes":     json.Number("1e-999999999"),
		"a number text beyond doubles":    json.Number("1e999999999"),
		"a number text that is none":      json.Number("allow"),
		"a number text of a JSON literal": json.Number("true"),
		"a number text without digits":    json.Number(""),
		"a number text of a megabyte":     json.Number("0." + strings.Repeat("1", 1<<20)),
	} {
		_, err := Object(map[string]any{"outer": []any{value}})
		if err == nil {
			t.Errorf("%s is not refused", name)
			continue
		}
		if !strings.HasPrefix(err.Error(), "payload.outer[0]") {
			t.Errorf("%s: the error does not name the part: %v", name, err)
		}
	}
}

func TestTypedValuesAreReadAsTheJSONThatTheyAre(t *testing.T) {
	type name string
	object, err := Object(map[string]any{
		"to":     []string{"ann", "bob"},
		"counts": map[name]int{"a": 1, "b": 2},
		"matrix": [2][]float32{{0.5}, nil},
		"kind":   name("x"),
		"none":   nil,
		"big":    json.Number("12e2"),
		"int8":   int8(-3),
		"uint":   uint16(7),
	})
	want := map[string]any{
		"to":     []any{"ann", "bob"},
		"counts": map[string]any{"a": 1.0, "b": 2.0},
		"matrix": []any{[]any{0.5}, nil},
		"kind":   "x",
		"none":   nil,
		"big":    1200.0,
		"int8":   -3.0,
		"uint":   7.0,
	}
	if err != nil || !reflect.DeepEqual(object, want) {
		t.Fatalf("%v %v", object, err)
	}
}

func TestOneMapManyTimesOverIsBoundedWork(t *testing.T) {
	value := any(1)
	for range 30 {
		value = map[string]any{"a": value, "b": value, "c": value}
	}
	if _, err := Object(map[string]any{"v": value}); err == nil {
		t.Fatal("2 * 10^14 values were read")
	}
	Copy(map[string]any{"v": value})
}

func TestACopyKeepsTypesAndSharesNothing(t *testing.T) {
	original := map[string]any{"to": []string{"ann"}, "deep": map[string]any{"n": 1, "list": []any{"x"}}, "nil": nil, "array": [1]int{1}}
	copied := Copy(original)
	if !reflect.DeepEqual(original, copied) {
		t.Fatalf("%#v", copied)
	}
	original["to"].([]string)[0] = "eve"
	original["deep"].(map[string]any)["list"].([]any)[0] = "y"
	if copied["to"].([]string)[0] != "ann" || copied["deep"].(map[string]any)["list"].([]any)[0] != "x" {
		t.Fatalf("%#v", copied)
	}
	if Copy(nil) != nil {
		t.Fatal("nil is not nil")
	}
}

func FuzzNumberTexts(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1e21", "0.1", "1E-7", "9007199254740991", "123456789012345678901e-5", "-0e-5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		number, err := numberOf(text, "n")
		if err != nil {
			return
		}
		var again float64
		if err := json.Unmarshal(AppendNumber(nil, number), &again); err != nil || again != number {
			t.Fatalf("%q became %v and %v (%v)", text, number, again, err)
		}
	})
}
