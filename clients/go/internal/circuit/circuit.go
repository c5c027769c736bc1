// Package circuit is one process's circuit for one service and agent (docs/circuit.md), without the part that processes share.
package circuit

// Times are milliseconds of a monotonic clock, as in the shared vectors (clients/vectors).

// Config says when the circuit opens and how it closes again.
type Config struct {
	// Failures in a row that open the circuit.
	Failures int
	// ProbeAfter is the time from the opening, or from a failed probe, to the next probe; ±10 %.
	ProbeAfter float64
	// Ramp is the time from the first success to full admission.
	Ramp float64
	// Lease is how long a probe may take; after that another may follow.
	Lease float64
}

// A State is what the circuit does with calls.
type State string

// The states. In half_open one probe is under way; in recovering a growing share of the calls passes.
const (
	Closed     State = "closed"
	Open       State = "open"
	HalfOpen   State = "half_open"
	Recovering State = "recovering"
)

// An Outcome is what a call's result says of the service.
type Outcome string

// Ignored results say nothing of the service: a bad request, a refused credential, the caller's cancel.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Ignored Outcome = "ignored"
)

// machine is the circuit's state. Its methods return the next state and change nothing.
type machine struct {
	state State
	// A call's result counts only in the generation that admitted the call.
	generation int
	// Failures in a row; only a success sets it back to 0.
	failures int
	probeAt  float64 // open
	until    float64 // half-open: when the probe is given up
	since    float64 // recovering
	inFlight int     // recovering
}

// elapsed is what time alone does.
func (m machine) elapsed(config Config, now float64) machine {
	switch {
	case m.state == HalfOpen && now >= m.until:
		// The probe hangs, or its caller is gone: the next call probes, and the lost probe's result belongs to an old generation.
		return machine{state: Open, generation: m.generation + 1, failures: m.failures, probeAt: m.until}
	case m.state == Recovering && now-m.since >= config.Ramp:
		// The same generation: a call that the ramp admitted still shows how the service is.
		return machine{state: Closed, generation: m.generation, failures: m.failures}
	}
	return m
}

type admission int

const (
	deny admission = iota
	pass
	// The call is the probe.
	probe
)

// admits says whether a call may go now. The roll, in [0, 1), decides who is in the ramp's share.
func (m machine) admits(config Config, roll, now float64) admission {
	switch m.state {
	case Closed:
		return pass
	case Open:
		if now >= m.probeAt {
			return probe
		}
	case Recovering:
		// One call at a time is no stampede, so a process that makes its calls one by one loses none to the ramp.
		if m.inFlight == 0 || roll < (now-m.since)/config.Ramp {
			return pass
		}
	case HalfOpen:
	}
	return deny
}

// passed counts a call that was admitted.
func (m machine) passed() machine {
	if m.state == Recovering {
		m.inFlight++
	}
	return m
}

// probing begins a probe.
func (m machine) probing(config Config, now float64) machine {
	return machine{state: HalfOpen, generation: m.generation + 1, failures: m.failures, until: now + config.Lease}
}

// learned is the state after a result of a call of this generation. The roll, in [0, 1), spreads the next probe.
func (m machine) learned(config Config, outcome Outcome, roll, now float64) machine {
	switch outcome {
	case Success:
		return m.succeeded(now)
	case Failure:
		return m.failed(config, roll, now)
	default:
		return m.ignored(config, now)
	}
}

func (m machine) succeeded(now float64) machine {
	switch m.state {
	case HalfOpen:
		return machine{state: Recovering, generation: m.generation + 1, since: now}
	case Recovering:
		m.inFlight = max(0, m.inFlight-1)
		m.failures = 0
	case Closed:
		m.failures = 0
	case Open:
	}
	return m
}

func (m machine) failed(config Config, roll, now float64) machine {
	failures := m.failures + 1
	if m.state == Open {
		return m
	}
	if m.state == Closed && failures < config.Failures {
		m.failures = failures
		return m
	}
	probeAt := now + config.ProbeAfter*(0.9+0.2*roll)
	return machine{state: Open, generation: m.generation + 1, failures: failures, probeAt: probeAt}
}

// ignored is for a call that says nothing of the service. A probe that says nothing is followed soon by another one, but not at once:
// callers that keep cancelling must not become a stream of probes.
func (m machine) ignored(config Config, now float64) machine {
	switch m.state {
	case Recovering:
		m.inFlight = max(0, m.inFlight-1)
	case HalfOpen:
		return machine{state: Open, generation: m.generation + 1, failures: m.failures, probeAt: now + config.ProbeAfter/10}
	case Closed, Open:
	}
	return m
}

// retryIn is how long, in milliseconds, until a call that is denied now may fare better.
func (m machine) retryIn(config Config, now float64) float64 {
	switch m.state {
	case Open:
		return max(0, m.probeAt-now)
	case HalfOpen:
		return max(0, m.until-now)
	case Recovering:
		return max(0, m.since+config.Ramp-now)
	default:
		return 0
	}
}
