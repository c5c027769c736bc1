package transport

import (
	"strings"
	"time"
	"unicode"
)

// A Kind says what kept a call from having an answer.
type Kind int

const (
	// Malformed: not a well-formed answer to this question.
	Malformed Kind = iota + 1
	// Unavailable: not reached, or the status UNAVAILABLE. The only kind that is tried again.
	Unavailable
	// Failed: another failure of the service.
	Failed
	// Refused: the service declined to decide this request, for its credential, its arguments or a limit.
	Refused
	// Unsent: the agent had no credential to send, so nothing was asked.
	Unsent
	// Late: the service says that the deadline has passed.
	Late
	// Deadline: the caller's time is over.
	Deadline
	// Cancelled: the caller cancelled.
	Cancelled
)

// A Failure is why there is no answer.
type Failure struct {
	Kind Kind
	// Problem is for people, without what the service should not be able to write into a terminal.
	Problem string
	// Code and RetryAfter are of a refusal.
	Code       string
	RetryAfter time.Duration
	// Passing: the refusal may end by waiting.
	Passing bool
	// Said: it is a status that was answered.
	Said bool
	// Busy: this process looked at its deadline much too late, so that the wait says nothing of the service.
	Busy bool
}

func (f *Failure) Error() string { return f.Problem }

// Codes of refusals, as in a verdict.
const (
	RateLimited   = "RATE_LIMITED"
	BadCredential = "BAD_CREDENTIAL"
	NotPermitted  = "NOT_PERMITTED"
	BadRequest    = "BAD_REQUEST"
)

// NewMalformed says what is wrong with an answer.
func NewMalformed(problem string) *Failure { return fail(Malformed, problem) }

func fail(kind Kind, problem string) *Failure { return &Failure{Kind: kind, Problem: Excerpt(problem)} }

const maxProblem = 200

// Excerpt cuts text from elsewhere, and replaces what controls terminals and the direction of text.
func Excerpt(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxProblem)], "")
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, text)
}

// The statuses of gRPC by number.
var statusNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

// FailureOfStatus is what a status other than OK says of the service. The message is the service's own.
func FailureOfStatus(number int, message string, retryAfter time.Duration) *Failure {
	failure := failureOf(statusNames[number], message, retryAfter)
	failure.Said = true
	return failure
}

func failureOf(name, message string, retryAfter time.Duration) *Failure {
	problem := name
	if message != "" {
		problem += ": " + strings.TrimSuffix(message, ".")
	}
	switch name {
	case "UNAVAILABLE":
		return fail(Unavailable, problem)
	case "DEADLINE_EXCEEDED":
		return fail(Late, problem)
	case "RESOURCE_EXHAUSTED":
		return refused(problem, RateLimited, retryAfter)
	case "UNAUTHENTICATED":
		return refused(problem, BadCredential, retryAfter)
	case "PERMISSION_DENIED":
		return refused(problem, NotPermitted, retryAfter)
	case "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE":
		return refused(problem, BadRequest, retryAfter)
	default:
		return fail(Failed, problem)
	}
}

func refused(problem, code string, retryAfter time.Duration) *Failure {
	failure := fail(Refused, problem)
	failure.Code, failure.RetryAfter, failure.Passing = code, retryAfter, code == RateLimited
	return failure
}
