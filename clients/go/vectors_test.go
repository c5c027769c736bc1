package datacrawl

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/circuit"
	"github.com/datacrawl/datacrawl/clients/go/internal/jcs"
	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
)

func vectors(t *testing.T, file string, to any) {
	t.Helper()
	text, err := os.ReadFile("../vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

func TestDerivedKeysOfTheSharedVectors(t *testing.T) {
	var file struct {
		Keys []struct {
			Name, Agent, Tool, Payload, Hashed, Key string
			Principal                               *string
		}
	}
	vectors(t, "derived-key.json", &file)
	if len(file.Keys) < 5 {
		t.Fatal("the vectors are not there")
	}
	for _, one := range file.Keys {
		var payload map[string]any
		if err := json.Unmarshal([]byte(one.Payload), &payload); err != nil {
			t.Fatal(err)
		}
		request := Request{Tool: one.Tool, Payload: payload}
		if one.Principal != nil {
			request.Principal = *one.Principal
		}
		q, err := readRequest(request, one.Agent)
		if err != nil {
			t.Errorf("%s: %v", one.Name, err)
			continue
		}
		canonical, err := jcs.Canonical(q.payload)
		if err != nil {
			t.Fatal(err)
		}
		if hashed := string(hashedText(one.Agent, canonical, request.Principal, one.Tool)); hashed != one.Hashed {
			t.Errorf("%s: hashed %s, want %s", one.Name, hashed, one.Hashed)
		}
		if q.key != one.Key {
			t.Errorf("%s: the key is %s, want %s", one.Name, q.key, one.Key)
		}
	}
}

func TestTextsOfTheSharedVectors(t *testing.T) {
	var file struct {
		Texts []struct {
			Field, Name, Unit string
			Times             int
			Accepted          bool
		}
	}
	vectors(t, "request.json", &file)
	played := 0
	for _, one := range file.Texts {
		// The parser replaces lone surrogates: texts that are not UTF-8 are tested elsewhere. In Go an empty optional text is an absent one.
		isOptional := one.Field != "tool"
		if strings.Contains(one.Name, "surrogate") || (one.Name == "empty" && isOptional) {
			continue
		}
		request := Request{Tool: "t", IdempotencyKey: "k"}
		field := map[string]*string{
			"tool":            &request.Tool,
			"idempotency_key": &request.IdempotencyKey,
			"principal":       &request.Principal,
			"session_id":      &request.SessionID,
		}[one.Field]
		*field = strings.Repeat(one.Unit, one.Times)
		if _, err := readRequest(request, "demo"); (err == nil) != one.Accepted {
			t.Errorf("%s, %s: %v", one.Field, one.Name, err)
		}
		played++
		*field = "\xed\xa0\x80"
		if _, err := readRequest(request, "demo"); err == nil {
			t.Errorf("%s that is not UTF-8 is accepted", one.Field)
		}
	}
	if played < 40 {
		t.Fatalf("only %d vectors were played", played)
	}
}

var kinds = map[string]transport.Kind{
	"malformed":   transport.Malformed,
	"unavailable": transport.Unavailable,
	"failed":      transport.Failed,
	"refused":     transport.Refused,
	"unsent":      transport.Unsent,
	"late":        transport.Late,
	"deadline":    transport.Deadline,
	"cancelled":   transport.Cancelled,
}

func TestWhatCountsForTheCircuitByTheSharedVectors(t *testing.T) {
	var file struct {
		Counts []struct {
			End                       string
			Probe, FailedBefore, Busy bool
			TookMs                    float64
			Counts                    circuit.Outcome
		}
	}
	vectors(t, "circuit.json", &file)
	if len(file.Counts) < 20 {
		t.Fatal("the vectors are not there")
	}
	for _, one := range file.Counts {
		end := ended{took: time.Duration(one.TookMs * float64(time.Millisecond)), failedBefore: one.FailedBefore}
		if one.End != "answered" {
			kind, known := kinds[one.End]
			if !known {
				t.Fatalf("the end %q is not known", one.End)
			}
			end.failure = &transport.Failure{Kind: kind, Busy: one.Busy}
		}
		if outcome, _ := outcomeOf(end, one.Probe); outcome != one.Counts {
			t.Errorf("%+v: %s", one, outcome)
		}
	}
}

func TestStatusesOfTheSharedVectors(t *testing.T) {
	var file struct {
		Statuses []struct {
			Status string
			Number int
			End    string
			Code   *string
		}
	}
	vectors(t, "circuit.json", &file)
	if len(file.Statuses) != 16 {
		t.Fatalf("%d statuses", len(file.Statuses))
	}
	for _, one := range file.Statuses {
		failure := transport.FailureOfStatus(one.Number, "", 0)
		code := ""
		if one.Code != nil {
			code = *one.Code
		}
		if failure.Kind != kinds[one.End] || failure.Code != code || failure.Problem != one.Status {
			t.Errorf("%+v: %+v", one, failure)
		}
	}
}
