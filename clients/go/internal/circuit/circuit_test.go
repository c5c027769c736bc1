package circuit

import (
	"encoding/json"
	"math"
	"os"
	"sync"
	"testing"
	"time"
)

type event struct {
	At, Roll  float64
	Do        string
	Permit    string
	RetryInMs float64
	Of        int
	Outcome   Outcome
	State     State
	Failures  int
}

func TestTheSharedVectorsOfTheCircuit(t *testing.T) {
	text, err := os.ReadFile("../../../vectors/circuit.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Sequences []struct {
			Name   string
			Config struct {
				Failures                      int
				ProbeAfterMs, RampMs, LeaseMs float64
			}
			Events []event
		}
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Sequences) < 10 {
		t.Fatalf("%d sequences, %v", len(file.Sequences), err)
	}
	for _, sequence := range file.Sequences {
		t.Run(sequence.Name, func(t *testing.T) {
			given := sequence.Config
			if lease := LeaseFor(given.ProbeAfterMs); lease != given.LeaseMs {
				t.Fatalf("the lease is %v, want %v", lease, given.LeaseMs)
			}
			var now, roll float64
			config := Config{given.Failures, given.ProbeAfterMs, given.RampMs, given.LeaseMs}
			breaker := New(config, func() float64 { return now }, func() float64 { return roll })
			permits := make(map[int]*Permit)
			for index, e := range sequence.Events {
				now, roll = e.At, e.Roll
				switch e.Do {
				case "permit":
					permit := breaker.Permit()
					permits[index] = permit
					if kind := kindOf(permit); kind != e.Permit {
						t.Fatalf("event %d: the permit is %s, want %s", index, kind, e.Permit)
					}
					if retryIn := float64(permit.RetryIn) / float64(time.Millisecond); permit.Denied && retryIn != e.RetryInMs {
						t.Fatalf("event %d: the next try is in %v ms, want %v", index, retryIn, e.RetryInMs)
					}
				case "report":
					breaker.Report(permits[e.Of], e.Outcome, "it failed")
				default:
					t.Fatalf("event %d does %q", index, e.Do)
				}
				if snapshot := breaker.Snapshot(); snapshot.State != e.State || snapshot.Failures != e.Failures {
					t.Fatalf("event %d: %s with %d failures, want %s with %d", index, snapshot.State, snapshot.Failures, e.State, e.Failures)
				}
			}
		})
	}
}

func kindOf(permit *Permit) string {
	switch {
	case permit.Denied:
		return "denied"
	case permit.Probe:
		return "probe"
	default:
		return "call"
	}
}

func TestAPermitIsReportedOnce(t *testing.T) {
	breaker := New(Config{Failures: 2, ProbeAfter: 1000, Ramp: 1000, Lease: 1000}, func() float64 { return 0 }, func() float64 { return 0 })
	permit := breaker.Permit()
	for range 3 {
		breaker.Report(permit, Failure, "once")
	}
	if snapshot := breaker.Snapshot(); snapshot.Failures != 1 || len(snapshot.LastErrors) != 1 {
		t.Fatalf("%+v", snapshot)
	}
}

func TestTheLastErrorsAreTheNewestFive(t *testing.T) {
	breaker := New(Config{Failures: math.MaxInt, ProbeAfter: 1, Ramp: 1, Lease: 1}, func() float64 { return 0 }, func() float64 { return 0 })
	for _, problem := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		breaker.Report(breaker.Permit(), Failure, problem)
	}
	errors := breaker.Snapshot().LastErrors
	if len(errors) != 5 || errors[0] != "g" || errors[4] != "c" {
		t.Fatalf("%v", errors)
	}
}

func TestManyCallersGetOneProbe(t *testing.T) {
	now := 0.0
	breaker := New(Config{Failures: 1, ProbeAfter: 1000, Ramp: 1000, Lease: 1000}, func() float64 { return now }, func() float64 { return 0.5 })
	breaker.Report(breaker.Permit(), Failure, "down")
	now = 1000
	var mu sync.Mutex
	var all sync.WaitGroup
	probes, calls := 0, 0
	for range 50 {
		all.Go(func() {
			permit := breaker.Permit()
			mu.Lock()
			defer mu.Unlock()
			if permit.Probe {
				probes++
			} else if !permit.Denied {
				calls++
			}
		})
	}
	all.Wait()
	if probes != 1 || calls != 0 {
		t.Fatalf("%d probes and %d calls", probes, calls)
	}
}
