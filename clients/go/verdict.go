package datacrawl

import "time"

// A Decision is the answer to "may this agent do this?".
type Decision string

// Only [Allow] means yes. Every other value, known or not, means no; so does the zero value.
const (
	Allow       Decision = "allow"
	Deny        Decision = "deny"
	NeedsReview Decision = "needs_review"
)

// A Reason is why, from the contract's taxonomy (decision.proto) without REASON_.
type Reason string

// The reasons of the service, and then those of a client or a sidecar that decided without it.
const (
	ReasonRuleAllowed          Reason = "RULE_ALLOWED"
	ReasonRuleDenied           Reason = "RULE_DENIED"
	ReasonNoMatchingRule       Reason = "NO_MATCHING_RULE"
	ReasonRuleError            Reason = "RULE_ERROR"
	ReasonIdempotencyKeyReused Reason = "IDEMPOTENCY_KEY_REUSED"
	ReasonAgentFrozen          Reason = "AGENT_FROZEN"
	ReasonReviewPending        Reason = "REVIEW_PENDING"
	ReasonReviewApproved       Reason = "REVIEW_APPROVED"
	ReasonReviewRejected       Reason = "REVIEW_REJECTED"
	ReasonReviewExpired        Reason = "REVIEW_EXPIRED"

	// The service was not reached, or failed.
	ReasonServiceUnavailable Reason = "SERVICE_UNAVAILABLE"
	// No answer in time, or the caller cancelled.
	ReasonDeadlineExceeded Reason = "DEADLINE_EXCEEDED"
	// The answer is not a well-formed answer to this question.
	ReasonMalformedResponse Reason = "MALFORMED_RESPONSE"
	// The service refused the request, or it breaks the contract. Verdict.Code says which.
	ReasonRequestRefused Reason = "REQUEST_REFUSED"
	// The circuit is open.
	ReasonCircuitOpen Reason = "CIRCUIT_OPEN"
	// An allow of a sidecar: the circuit is open, and an operator's grant covers the call.
	ReasonCircuitBypass Reason = "CIRCUIT_BYPASS"
)

// The one decision that each reason agrees with. An answer in which the two disagree is malformed.
var decisionOf = map[Reason]Decision{
	ReasonRuleAllowed:          Allow,
	ReasonRuleDenied:           Deny,
	ReasonNoMatchingRule:       Deny,
	ReasonRuleError:            Deny,
	ReasonIdempotencyKeyReused: Deny,
	ReasonAgentFrozen:          Deny,
	ReasonReviewPending:        NeedsReview,
	ReasonReviewApproved:       Allow,
	ReasonReviewRejected:       Deny,
	ReasonReviewExpired:        Deny,
	ReasonServiceUnavailable:   Deny,
	ReasonDeadlineExceeded:     Deny,
	ReasonMalformedResponse:    Deny,
	ReasonRequestRefused:       Deny,
	ReasonCircuitOpen:          Deny,
	ReasonCircuitBypass:        Allow,
}

// A Source is who decided.
type Source string

// The service decides from policy, and records it first. A guard decides alone: this client, or a sidecar.
const (
	SourceService Source = "service"
	SourceGuard   Source = "guard"
)

// A Code tells refusals apart.
type Code string

// The codes of REQUEST_REFUSED.
const (
	// Over the agent's rate, or a limit of the service. Verdict.RetryAfter says how long to wait, if the service does.
	CodeRateLimited Code = "RATE_LIMITED"
	// The credential is missing, unknown, expired or revoked.
	CodeBadCredential Code = "BAD_CREDENTIAL"
	// The credential does not permit this request.
	CodeNotPermitted Code = "NOT_PERMITTED"
	// The request breaks the contract.
	CodeBadRequest Code = "BAD_REQUEST"
)

// A Verdict is the answer to a request. The zero value is a deny.
type Verdict struct {
	// Decision is for logs and metrics. Act by [Verdict.Allowed].
	Decision Decision
	Reason   Reason
	// Message is the reason as a sentence for people. Not stable.
	Message string
	// Code is set if and only if Reason is REQUEST_REFUSED and this client gave it.
	Code Code
	// RetryAfter is how long the service asks to wait before a retry; 0 if it does not say.
	RetryAfter time.Duration
	// DecisionID is the UUID of the decision in the audit trail. What this client decides alone is in no trail.
	DecisionID string
	// PolicyVersion is the digest of the policy bundle that decided; empty if a guard did.
	PolicyVersion string
	// RuleID is the rule that decided, or empty.
	RuleID string
	// Replayed: decided for an earlier request with the same key.
	Replayed bool
	// Source is who decided: the service, or a guard (this client, or a sidecar) alone.
	Source Source
	// DecidedAt is by the clock of the one that decided.
	DecidedAt time.Time
	// IdempotencyKey is the given or the derived one; empty if the request was not one.
	IdempotencyKey string
	// Tool is the tool that was asked about; empty if it is not known.
	Tool string
}

// Allowed is the one place where a verdict becomes permission to act.
//
// INVARIANT: an equality with allow; never "is not deny".
func (v Verdict) Allowed() bool { return v.Decision == Allow }
