package datacrawl

import (
	"bytes"
	"fmt"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
	"github.com/datacrawl/datacrawl/clients/go/internal/wire"
	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
)

var outcomes = map[uint64]Outcome{
	uint64(authzv1.Outcome_OUTCOME_UNSPECIFIED): "",
	uint64(authzv1.Outcome_OUTCOME_SUCCEEDED):   Succeeded,
	uint64(authzv1.Outcome_OUTCOME_FAILED):      Failed,
	uint64(authzv1.Outcome_OUTCOME_UNKNOWN):     Unknown,
}

var refusals = map[uint64]Reason{
	uint64(authzv1.ExecutionRefusal_EXECUTION_REFUSAL_UNKNOWN_DECISION): ReasonUnknownDecision,
	uint64(authzv1.ExecutionRefusal_EXECUTION_REFUSAL_NOT_ALLOWED):      ReasonNotAllowed,
	uint64(authzv1.ExecutionRefusal_EXECUTION_REFUSAL_EXPIRED):          ReasonExpired,
	uint64(authzv1.ExecutionRefusal_EXECUTION_REFUSAL_AGENT_FROZEN):     ReasonAgentFrozen,
	uint64(authzv1.ExecutionRefusal_EXECUTION_REFUSAL_APPROVAL_LAPSED):  ReasonApprovalLapsed,
}

type unverifiedStart struct {
	reason, outcome, source, state                       uint64
	message, decisionID, agentID, executionID, startedBy string
	nonce                                                []byte
	startedAt, endedAt, reportDueAt                      *time.Time
}

// readStart is what the service said to a start, if it said it in the one right form and to this very start.
//
// INVARIANT: the only place where bytes from the network become a start. As strict as the reading of a decision.
func readStart(message []byte, want expected) (Start, *transport.Failure) {
	var s unverifiedStart
	err := wire.Decode(message, map[uint64]wire.Field{
		1:  {Name: "reason", To: &s.reason},
		2:  {Name: "message", To: &s.message},
		3:  {Name: "decision_id", To: &s.decisionID},
		4:  {Name: "nonce", To: &s.nonce},
		5:  {Name: "agent_id", To: &s.agentID},
		6:  {Name: "execution_id", To: &s.executionID},
		7:  {Name: "started_at", To: &s.startedAt},
		8:  {Name: "started_by", To: &s.startedBy},
		9:  {Name: "outcome", To: &s.outcome},
		10: {Name: "ended_at", To: &s.endedAt},
		11: {Name: "report_due_at", To: &s.reportDueAt},
		12: {Name: "source", To: &s.source},
		15: {Name: "state", To: &s.state},
	})
	if err != nil {
		return Start{}, transport.NewMalformed("the answer " + err.Error())
	}
	if problem := s.echoProblem(want); problem != "" {
		return Start{}, transport.NewMalformed(problem)
	}
	start := Start{Message: s.message, DecisionID: s.decisionID, Source: sources[s.source]}
	problem := "the answer holds no state"
	switch s.state {
	case uint64(authzv1.ExecutionState_EXECUTION_STATE_STARTED), uint64(authzv1.ExecutionState_EXECUTION_STATE_ALREADY_STARTED):
		problem = s.execution(&start)
	case uint64(authzv1.ExecutionState_EXECUTION_STATE_REFUSED):
		problem = s.refusal(&start)
	}
	if problem != "" {
		return Start{}, transport.NewMalformed(problem)
	}
	return start, nil
}

func (s unverifiedStart) echoProblem(want expected) string {
	if source, known := sources[s.source]; !known || (source == SourceGuard && !want.sidecar) {
		return "the answer is not from the service"
	}
	if problem := want.agentProblem(s.agentID); problem != "" {
		return problem
	}
	if s.decisionID != want.decisionID {
		return "the answer is for another decision"
	}
	if !bytes.Equal(s.nonce, want.nonce) {
		return "the answer is for another start"
	}
	return ""
}

// execution reads a start, this one or an earlier one. It returns what is wrong with it, or nothing.
func (s unverifiedStart) execution(to *Start) string {
	isStarted := s.state == uint64(authzv1.ExecutionState_EXECUTION_STATE_STARTED)
	outcome, known := outcomes[s.outcome]
	switch {
	case s.reason != 0:
		return "a start has a reason of a refusal"
	case isStarted != (s.executionID != ""):
		return "the execution's id does not agree with the state"
	case isStarted && !uuid.MatchString(s.executionID):
		return "the execution's id is not a UUID"
	case s.startedAt == nil || s.reportDueAt == nil || s.startedBy == "":
		return "the start has no time or no credential"
	case !known:
		return fmt.Sprintf("the contract has no outcome %d", s.outcome)
	case (outcome == "") != (s.endedAt == nil):
		return "the outcome and its time do not agree"
	}
	to.StartedAt, to.StartedBy, to.ReportDueAt = *s.startedAt, s.startedBy, *s.reportDueAt
	// INVARIANT: what has ended is not run, also if this very start began it: an operator may have resolved it meanwhile.
	if isStarted && outcome == "" {
		to.State, to.ExecutionID = Started, s.executionID
		return ""
	}
	to.State, to.Outcome = AlreadyStarted, outcome
	if s.endedAt != nil {
		to.EndedAt = *s.endedAt
	}
	return ""
}

func (s unverifiedStart) refusal(to *Start) string {
	reason, known := refusals[s.reason]
	if !known {
		return fmt.Sprintf("the service does not refuse for reason %d", s.reason)
	}
	isBare := s.executionID == "" && s.startedBy == "" && s.outcome == 0
	if !isBare || s.startedAt != nil || s.endedAt != nil || s.reportDueAt != nil {
		return "a refusal tells of a start"
	}
	to.State, to.Reason = StartRefused, reason
	return ""
}

// readReported is that this very report is on record.
func readReported(message []byte, decisionID, executionID string, outcome uint64) (Reported, *transport.Failure) {
	var recorded struct {
		decisionID, executionID string
		outcome, replayed       uint64
		endedAt                 *time.Time
	}
	err := wire.Decode(message, map[uint64]wire.Field{
		1: {Name: "decision_id", To: &recorded.decisionID},
		2: {Name: "execution_id", To: &recorded.executionID},
		3: {Name: "outcome", To: &recorded.outcome},
		4: {Name: "ended_at", To: &recorded.endedAt},
		5: {Name: "replayed", To: &recorded.replayed},
	})
	if err != nil {
		return Reported{}, transport.NewMalformed("the answer " + err.Error())
	}
	if recorded.decisionID != decisionID || recorded.executionID != executionID || recorded.outcome != outcome {
		return Reported{}, transport.NewMalformed("the answer is for another report")
	}
	if recorded.endedAt == nil || recorded.replayed > 1 {
		return Reported{}, transport.NewMalformed("the answer does not say when the report was recorded")
	}
	return Reported{Recorded: true, EndedAt: *recorded.endedAt, Replayed: recorded.replayed == 1}, nil
}
