package datacrawl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
)

// Begin implements [Authorizer].
func (c *Client) Begin(ctx context.Context, verdict Verdict) (start Start) {
	decisionID := strings.ToLower(verdict.DecisionID)
	defer func() {
		if recovered := recover(); recovered != nil {
			_ = c.bug(recovered)
			start = refusedStart(badRequest("The client failed."), decisionID)
		}
	}()
	if !verdict.Allowed() {
		return refusedStart(badRequest("The verdict is not an allow."), decisionID)
	}
	if !uuid.MatchString(decisionID) {
		return refusedStart(badRequest("The decision id is not a UUID."), "")
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	permit := c.breaker.Permit()
	if permit.Denied {
		return refusedStart(circuitOpen(permit), decisionID)
	}
	// INVARIANT: all attempts have the same nonce, so a start whose answer was lost is found again, and is one start.
	nonce := newNonce()
	failure := c.throughCircuit(ctx, permit, func(ctx context.Context) *transport.Failure {
		messages, failure := c.call(ctx, "BeginExecution", &authzv1.BeginExecutionRequest{DecisionId: decisionID, Nonce: nonce})
		if failure != nil {
			return failure
		}
		want := c.expect(nonce)
		want.decisionID = decisionID
		start, failure = readStart(messages[0], want)
		return failure
	})
	if failure != nil {
		return refusedStart(noAnswerOf(failure), decisionID)
	}
	return start
}

func refusedStart(why noAnswer, decisionID string) Start {
	return Start{
		State:      StartRefused,
		Message:    why.message,
		DecisionID: decisionID,
		Reason:     why.reason,
		Code:       why.code,
		RetryAfter: why.retryAfter,
		Source:     SourceGuard,
	}
}

const (
	maxCodeBytes    = 128
	maxSummaryBytes = 1024
)

var wireOutcomes = map[Outcome]authzv1.Outcome{
	Succeeded: authzv1.Outcome_OUTCOME_SUCCEEDED,
	Failed:    authzv1.Outcome_OUTCOME_FAILED,
	Unknown:   authzv1.Outcome_OUTCOME_UNKNOWN,
}

// Report implements [Authorizer].
func (c *Client) Report(ctx context.Context, execution Start, report Report) (reported Reported) {
	defer func() {
		if recovered := recover(); recovered != nil {
			_ = c.bug(recovered)
			reported = notRecorded(badRequest("The client failed."))
		}
	}()
	if err := checkReport(execution, report); err != nil {
		return notRecorded(badRequest(sentence(err)))
	}
	request := &authzv1.ReportOutcomeRequest{
		DecisionId:  execution.DecisionID,
		ExecutionId: execution.ExecutionID,
		Outcome:     wireOutcomes[report.Outcome],
		ErrorCode:   report.ErrorCode,
		Summary:     report.Summary,
	}
	if millis := report.Duration.Milliseconds(); report.Duration > 0 {
		request.DurationMs = &millis
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	end := c.withRetries(ctx, func(ctx context.Context) *transport.Failure {
		messages, failure := c.call(ctx, "ReportOutcome", request)
		if failure != nil {
			return failure
		}
		reported, failure = readReported(messages[0], request.DecisionId, request.ExecutionId, uint64(request.Outcome))
		return failure
	})
	if end.failure != nil {
		return notRecorded(noAnswerOf(end.failure))
	}
	return reported
}

func notRecorded(why noAnswer) Reported {
	return Reported{Reason: why.reason, Message: why.message, Code: why.code, RetryAfter: why.retryAfter}
}

func checkReport(execution Start, report Report) error {
	switch {
	case !execution.Started():
		return errors.New("the execution was not started, so it has no outcome")
	case wireOutcomes[report.Outcome] == authzv1.Outcome_OUTCOME_UNSPECIFIED:
		return fmt.Errorf("the outcome must be %q, %q or %q, is %q", Succeeded, Failed, Unknown, report.Outcome)
	case report.Duration < 0:
		return fmt.Errorf("the duration must not be negative, is %s", report.Duration)
	case len(report.ErrorCode) > maxCodeBytes || !utf8.ValidString(report.ErrorCode) || strings.ContainsFunc(report.ErrorCode, unicode.IsControl):
		return fmt.Errorf("the error code must be UTF-8 of at most %d bytes without control characters", maxCodeBytes)
	case len(report.Summary) > maxSummaryBytes || !utf8.ValidString(report.Summary) || strings.IndexByte(report.Summary, 0) >= 0:
		return fmt.Errorf("the summary must be UTF-8 of at most %d bytes without NUL", maxSummaryBytes)
	}
	return nil
}
