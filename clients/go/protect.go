package datacrawl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/jcs"
)

// ProtectOptions of [Protect], for every call of the wrapped action. The zero value is the default.
type ProtectOptions[P any] struct {
	// Key returns the idempotency key for a payload. Default: derived from agent, tool, payload and principal.
	Key func(payload P) string
	// Principal and SessionID as in a [Request].
	Principal string
	SessionID string
	// WaitForReview: where people have to decide, wait until they have, and at most as long. 0: a [DeniedError] at once.
	WaitForReview time.Duration
	// Repeat: the action runs as often as it is allowed, which is for 24 hours under the same key, without start and report.
	Repeat bool
}

// A ProtectedFunc runs an action only if it is allowed, and once. Otherwise it returns a [*DeniedError], an [*AlreadyStartedError] or a
// [*NotStartedError], and the action has not run.
type ProtectedFunc[P, R any] func(ctx context.Context, payload P) (R, error)

// Protect wraps an action: ask, start, run, report. The payload is a map[string]any, or a type that encoding/json turns into an object,
// and the action gets a copy with the values that were allowed, even if the caller's have changed since.
//
// What the action returns is reported as succeeded or failed, with the error's type and never its text. If the context has ended, or the
// error is context.Canceled or context.DeadlineExceeded, the outcome is unknown; so it is if the action panics, which goes on. The report is
// sent also when the context has ended, within the client's timeout, and changes nothing of what the action returns.
func Protect[P, R any](client Authorizer, tool string, action func(ctx context.Context, payload P) (R, error), options ProtectOptions[P]) ProtectedFunc[P, R] {
	return func(ctx context.Context, payload P) (result R, err error) {
		given, copied, err := copyOf(payload)
		if err != nil {
			return result, &DeniedError{tool, unreadable(tool, err)}
		}
		request := Request{Tool: tool, Payload: given, Principal: options.Principal, SessionID: options.SessionID}
		if options.Key != nil {
			if request.IdempotencyKey = options.Key(copied); request.IdempotencyKey == "" {
				return result, &DeniedError{tool, unreadable(tool, errors.New("the option Key returned an empty idempotency key"))}
			}
		}
		verdict := client.Authorize(ctx, request)
		if verdict.Decision == NeedsReview && options.WaitForReview > 0 {
			waiting, cancel := context.WithTimeout(ctx, options.WaitForReview)
			verdict = client.WaitForReview(waiting, verdict.DecisionID)
			cancel()
		}
		if !verdict.Allowed() {
			return result, &DeniedError{tool, verdict}
		}
		if options.Repeat {
			return action(ctx, copied)
		}
		start := client.Begin(ctx, verdict)
		switch {
		case start.Started():
			return runOnce(ctx, client, start, func() (R, error) { return action(ctx, copied) })
		case start.State == AlreadyStarted:
			return result, &AlreadyStartedError{tool, verdict, start}
		default:
			return result, &NotStartedError{tool, verdict, start}
		}
	}
}

// runOnce runs a started action and reports how it ended.
func runOnce[R any](ctx context.Context, client Authorizer, start Start, run func() (R, error)) (result R, err error) {
	startedAt := time.Now()
	// If run panics.
	report := Report{Outcome: Unknown}
	defer func() {
		report.Duration = time.Since(startedAt)
		// What was done is reported also if the caller has cancelled.
		reported := client.Report(context.WithoutCancel(ctx), start, report)
		if !reported.Recorded {
			loggerOf(client).Warn("datacrawl: an outcome was not recorded", "decision", start.DecisionID, "outcome", string(report.Outcome),
				"reason", string(reported.Reason), "message", reported.Message)
		}
	}()
	result, err = run()
	switch {
	case err == nil:
		report.Outcome = Succeeded
	case ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		report.ErrorCode = errorCode(err)
	default:
		report.Outcome, report.ErrorCode = Failed, errorCode(err)
	}
	return result, err
}

func loggerOf(client Authorizer) *slog.Logger {
	if own, ok := client.(*Client); ok {
		return own.settings.Logger
	}
	return slog.Default()
}

// errorCode is the error's type: its text may hold what must not be recorded.
func errorCode(err error) string {
	code := fmt.Sprintf("%T", err)
	return code[:min(len(code), maxCodeBytes)]
}

// copyOf is the payload as it is asked about, and a copy of it for the action.
func copyOf[P any](payload P) (given map[string]any, copied P, err error) {
	if object, ok := any(payload).(map[string]any); ok {
		given = jcs.Copy(object)
		copied, _ = any(given).(P)
		return given, copied, nil
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return nil, copied, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&given); err != nil || given == nil {
		return nil, copied, fmt.Errorf("the payload must be a JSON object, is a %s", reflect.TypeOf(&payload).Elem())
	}
	return given, copied, json.Unmarshal(text, &copied)
}

// unreadable is the verdict on a payload that cannot be asked about.
func unreadable(tool string, err error) Verdict {
	return Verdict{
		Decision:   Deny,
		Reason:     ReasonRequestRefused,
		Message:    fmt.Sprintf("The payload could not be read: %v.", err),
		Code:       CodeBadRequest,
		DecisionID: newID(),
		Source:     SourceGuard,
		DecidedAt:  time.Now(),
		Tool:       tool,
	}
}
