package datacrawl

import "time"

// A StartState is what became of a start.
type StartState string

// Run the tool only if the state is [Started]. Every other value, known or not, means no; so does the zero value.
const (
	// This call has started the decision.
	Started StartState = "started"
	// It was started before, by this agent's process or another one: the tool has run, is running, or its process has died.
	AlreadyStarted StartState = "already_started"
	// It was not started, as far as is known.
	StartRefused StartState = "refused"
)

// Reasons of the service to refuse a start. A client that could not ask gives one of its own, as in a verdict.
const (
	ReasonUnknownDecision Reason = "UNKNOWN_DECISION"
	ReasonNotAllowed      Reason = "NOT_ALLOWED"
	ReasonExpired         Reason = "EXPIRED"
	ReasonApprovalLapsed  Reason = "APPROVAL_LAPSED"
)

// An Outcome is how an execution ended.
type Outcome string

// The outcomes. The zero value is that it is not known yet.
const (
	Succeeded Outcome = "succeeded"
	// The tool failed, and the action did not happen.
	Failed Outcome = "failed"
	// Nobody knows whether the action happened.
	Unknown Outcome = "unknown"
)

// A Start is what became of the question whether a decision may be started. The zero value is not a start.
type Start struct {
	// State is for logs and metrics. Run the tool by [Start.Started].
	State      StartState
	Message    string
	DecisionID string
	// ExecutionID is set if and only if the state is started. The report names it.
	ExecutionID string
	// StartedAt, StartedBy and ReportDueAt are of the start, this one or the earlier one; zero if it was refused. StartedBy is the public id
	// of a credential. Without a report by ReportDueAt it counts as unresolved.
	StartedAt   time.Time
	StartedBy   string
	ReportDueAt time.Time
	// Outcome and EndedAt say how an earlier start ended; zero as long as that is not known.
	Outcome Outcome
	EndedAt time.Time
	// Reason, Code and RetryAfter say why it was refused; zero otherwise.
	Reason     Reason
	Code       Code
	RetryAfter time.Duration
	Source     Source
}

// Started is the one place where a start becomes permission to run the tool.
//
// INVARIANT: an equality with started.
func (s Start) Started() bool { return s.State == Started }

// A Report is what is said of an execution's end. Nothing in it is verified.
type Report struct {
	Outcome Outcome
	// ErrorCode is the tool's, such as HTTP_503: at most 128 bytes without control characters.
	ErrorCode string
	// Duration is how long the tool ran; 0 is not sent.
	Duration time.Duration
	// Summary is what happened, for people: at most 1,024 bytes without NUL.
	Summary string
}

// A Reported is what became of a report.
type Reported struct {
	// Recorded: the outcome is on record, by this report or an equal one before it.
	Recorded bool
	// EndedAt is when it was recorded; zero if it is not.
	EndedAt time.Time
	// Replayed: it had been recorded before.
	Replayed bool
	// Reason, Message, Code and RetryAfter say why it is not recorded; zero otherwise.
	Reason     Reason
	Message    string
	Code       Code
	RetryAfter time.Duration
}
