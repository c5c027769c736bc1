package datacrawl

import (
	"bytes"
	"fmt"
	"regexp"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
	"github.com/datacrawl/datacrawl/clients/go/internal/wire"
	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
)

// expected is what an attempt asked. An answer that does not repeat all of it is not an answer to this attempt.
type expected struct {
	// Empty if only a sidecar knows it.
	agentID string
	// 16 bytes, of this attempt alone; of a start and all its attempts.
	nonce []byte
	// Of a new decision.
	tool, key string
	// Of a decision that is watched or started.
	decisionID string
	// A sidecar may also decide alone.
	sidecar bool
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

var decisions = map[uint64]Decision{
	uint64(authzv1.Decision_DECISION_ALLOW):        Allow,
	uint64(authzv1.Decision_DECISION_DENY):         Deny,
	uint64(authzv1.Decision_DECISION_NEEDS_REVIEW): NeedsReview,
}

var sources = map[uint64]Source{
	uint64(authzv1.Source_SOURCE_SERVICE): SourceService,
	uint64(authzv1.Source_SOURCE_GUARD):   SourceGuard,
}

// The contract's reasons by their numbers.
var reasons = func() map[uint64]Reason {
	byNumber := make(map[uint64]Reason)
	for reason := range decisionOf {
		byNumber[uint64(authzv1.Reason_value["REASON_"+string(reason)])] = reason
	}
	return byNumber
}()

// isGuards: reasons from this number on are a guard's, never the service's.
const firstGuardReason = uint64(authzv1.Reason_REASON_SERVICE_UNAVAILABLE)

// unverifiedAnswer is an AuthorizeResponse or a WatchDecisionResponse, whose fields have the same numbers.
type unverifiedAnswer struct {
	reason, replayed, source, decision               uint64
	message, decisionID, policyVersion, ruleID, tool string
	agentID, key                                     string
	nonce                                            []byte
	decidedAt                                        *time.Time
}

// readAnswer is what the service said, if it said it in the one right form and to this very question. A stream says what its last message
// says.
//
// INVARIANT: the only place where bytes from the network become a decision. Every message is a well-formed answer, and only the last one
// may say anything but that people decide.
func readAnswer(messages [][]byte, want expected) (Verdict, *transport.Failure) {
	var last Verdict
	for index, message := range messages {
		if index > 0 && last.Decision != NeedsReview {
			return Verdict{}, transport.NewMalformed("there is an answer after the last one")
		}
		var failure *transport.Failure
		if last, failure = readMessage(message, want); failure != nil {
			return Verdict{}, failure
		}
	}
	return last, nil
}

func readMessage(message []byte, want expected) (Verdict, *transport.Failure) {
	var a unverifiedAnswer
	err := wire.Decode(message, map[uint64]wire.Field{
		1:  {Name: "reason", To: &a.reason},
		2:  {Name: "message", To: &a.message},
		3:  {Name: "decision_id", To: &a.decisionID},
		4:  {Name: "policy_version", To: &a.policyVersion},
		5:  {Name: "replayed", To: &a.replayed},
		6:  {Name: "decided_at", To: &a.decidedAt},
		7:  {Name: "rule_id", To: &a.ruleID},
		8:  {Name: "agent_id", To: &a.agentID},
		9:  {Name: "tool", To: &a.tool},
		10: {Name: "idempotency_key", To: &a.key},
		11: {Name: "nonce", To: &a.nonce},
		12: {Name: "source", To: &a.source},
		15: {Name: "decision", To: &a.decision},
	})
	if err != nil {
		return Verdict{}, transport.NewMalformed("the answer " + err.Error())
	}
	if problem := a.problem(want); problem != "" {
		return Verdict{}, transport.NewMalformed(problem)
	}
	decidedAt := time.Now()
	if a.decidedAt != nil {
		decidedAt = *a.decidedAt
	}
	return Verdict{
		Decision:       decisions[a.decision],
		Reason:         reasons[a.reason],
		Message:        a.message,
		DecisionID:     a.decisionID,
		PolicyVersion:  a.policyVersion,
		RuleID:         a.ruleID,
		Replayed:       a.replayed == 1,
		Source:         sources[a.source],
		DecidedAt:      decidedAt,
		IdempotencyKey: a.key,
		Tool:           a.tool,
	}, nil
}

// problem is the first thing that keeps an answer from being one to this question, or empty.
func (a unverifiedAnswer) problem(want expected) string {
	decision, known := decisions[a.decision]
	if !known {
		return "the answer holds no decision"
	}
	reason, known := reasons[a.reason]
	if !known {
		return fmt.Sprintf("the contract has no reason %d", a.reason)
	}
	if decisionOf[reason] != decision {
		return fmt.Sprintf("the decision %s does not agree with the reason %s", decision, reason)
	}
	if problem := sourceProblem(a.source, a.reason >= firstGuardReason, want.sidecar); problem != "" {
		return problem
	}
	if problem := want.agentProblem(a.agentID); problem != "" {
		return problem
	}
	switch {
	case want.decisionID != "" && a.decisionID != want.decisionID:
		return "the answer is for another decision"
	case want.decisionID == "" && a.tool != want.tool:
		return "the answer is for another tool"
	case want.decisionID == "" && a.key != want.key:
		return "the answer is for another idempotency key"
	case !bytes.Equal(a.nonce, want.nonce):
		return "the answer is for another attempt"
	case !uuid.MatchString(a.decisionID):
		return "the decision id is not a UUID"
	case a.replayed > 1:
		return "replayed is neither true nor false"
	}
	return ""
}

// sourceProblem: a service answers with its own decisions alone. A sidecar also with a guard's, which have a guard's reasons.
func sourceProblem(number uint64, guardsReason, sidecar bool) string {
	source, known := sources[number]
	if !known || (source == SourceGuard && !sidecar) {
		return "the answer is not from the service"
	}
	if guardsReason != (source == SourceGuard) {
		return "the answer's source and reason do not agree"
	}
	return ""
}

func (want expected) agentProblem(agentID string) string {
	if want.agentID == "" && agentID == "" {
		return "the answer names no agent"
	}
	if want.agentID != "" && agentID != want.agentID {
		return "the answer is for another agent"
	}
	return ""
}
