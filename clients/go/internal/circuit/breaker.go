package circuit

import (
	"math"
	"sync"
	"time"
)

const keptErrors = 5

// A Breaker is the one object that is asked before the service is called. It is safe for concurrent use.
type Breaker struct {
	config Config
	now    func() float64
	roll   func() float64

	mu         sync.Mutex
	machine    machine
	lastErrors []string
}

// New makes a closed circuit. The clock is monotonic and in milliseconds; roll is uniform in [0, 1).
func New(config Config, now, roll func() float64) *Breaker {
	return &Breaker{config: config, now: now, roll: roll, machine: machine{state: Closed}}
}

// LeaseFor is how long a probe may take: half of the time between probes, but 1 to 10 s.
func LeaseFor(probeAfter float64) float64 {
	return math.Floor(min(10_000, max(1_000, probeAfter/2)))
}

// A Permit is leave to call, or not. Each that was not denied is reported once.
type Permit struct {
	// Denied: the call must not go. The next one may fare better after RetryIn.
	Denied  bool
	RetryIn time.Duration
	// Probe: this call finds out how the service is. It must end within Lease.
	Probe bool
	Lease time.Duration

	generation int
	reported   bool
}

// Permit takes microseconds and waits for nothing.
func (b *Breaker) Permit() *Permit {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.machine = b.machine.elapsed(b.config, now)
	switch b.machine.admits(b.config, b.roll(), now) {
	case pass:
		b.machine = b.machine.passed()
		return &Permit{generation: b.machine.generation}
	case probe:
		b.machine = b.machine.probing(b.config, now)
		return &Permit{Probe: true, Lease: duration(b.config.Lease), generation: b.machine.generation}
	default:
		return &Permit{Denied: true, RetryIn: duration(math.Ceil(b.machine.retryIn(b.config, now)))}
	}
}

// Report says how a call went, whatever its attempts. Only the first report of a permit counts, and only while the circuit is in the
// generation that admitted the call.
func (b *Breaker) Report(permit *Permit, outcome Outcome, problem string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if permit.Denied || permit.reported {
		return
	}
	permit.reported = true
	now := b.now()
	b.machine = b.machine.elapsed(b.config, now)
	if permit.generation != b.machine.generation {
		return
	}
	if outcome == Failure {
		b.lastErrors = append([]string{problem}, b.lastErrors[:min(len(b.lastErrors), keptErrors-1)]...)
	}
	b.machine = b.machine.learned(b.config, outcome, b.roll(), now)
}

// A Snapshot is the circuit at one moment.
type Snapshot struct {
	State       State
	Failures    int
	NextProbeIn time.Duration
	LastErrors  []string
}

// Snapshot reads the circuit.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.machine = b.machine.elapsed(b.config, now)
	snapshot := Snapshot{State: b.machine.state, Failures: b.machine.failures, LastErrors: append([]string(nil), b.lastErrors...)}
	if b.machine.state == Open {
		snapshot.NextProbeIn = duration(math.Ceil(b.machine.retryIn(b.config, now)))
	}
	return snapshot
}

func duration(milliseconds float64) time.Duration {
	return time.Duration(milliseconds * float64(time.Millisecond))
}
