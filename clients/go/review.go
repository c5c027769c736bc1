package datacrawl

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
	"google.golang.org/protobuf/proto"
)

const (
	defaultWait = time.Minute
	maxWait     = 7 * 24 * time.Hour
	// One stream lasts no longer, so that a connection that died in silence is noticed.
	streamTime  = time.Minute
	streamGrace = 5 * time.Second
	firstRetry  = 250 * time.Millisecond
	lastRetry   = 5 * time.Second
)

// WaitForReview waits until people have decided a call that was answered [NeedsReview], and at most until the context's deadline: a minute
// if it has none, and never more than seven days. Act only if the verdict is [Verdict.Allowed].
//
// It never panics. If nobody has decided in time the verdict still needs a review; if the service could not be asked it is a deny. It
// has the decision id that was given. Lost connections are opened again. It neither uses nor changes the circuit.
func (c *Client) WaitForReview(ctx context.Context, decisionID string) (verdict Verdict) {
	defer func() {
		if recovered := recover(); recovered != nil {
			verdict = c.bug(recovered)
		}
	}()
	if !uuid.MatchString(decisionID) {
		return c.deny(badRequest("The decision id is not a UUID."), Verdict{})
	}
	limit := maxWait
	if _, ok := ctx.Deadline(); !ok {
		limit = defaultWait
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.wait(ctx, decisionID)
}

func (c *Client) wait(ctx context.Context, decisionID string) Verdict {
	var pending *Verdict
	var last *transport.Failure
	end := func(stopped *transport.Failure) Verdict {
		if pending != nil {
			return *pending
		}
		return c.unresolved(decisionID, stopped, last)
	}
	for pause := firstRetry; ; {
		startedAt := time.Now()
		verdict, failure := c.watch(ctx, decisionID)
		if stopped := transport.Stopped(ctx); stopped != nil {
			return end(stopped)
		}
		switch {
		case failure == nil && verdict.Decision != NeedsReview:
			return verdict
		case failure == nil:
			pending, pause = &verdict, firstRetry
		case failure.Kind == transport.Refused && !failure.Passing:
			return c.notAwaited(decisionID, noAnswerOf(failure), failure.Problem)
		}
		// Half of it is chance: those who lost a service together do not come back together.
		left := max(firstRetry, pause-time.Since(startedAt))
		timer := time.NewTimer(time.Duration(float64(left) * (0.5 + mathrand.Float64()/2)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			last = failure
			return end(transport.Stopped(ctx))
		}
		if failure != nil {
			pause = min(pause*2, lastRetry)
		}
		last = failure
	}
}

// watch reads one stream, to its end.
func (c *Client) watch(ctx context.Context, decisionID string) (Verdict, *transport.Failure) {
	nonce := newNonce()
	message, err := proto.Marshal(&authzv1.WatchDecisionRequest{DecisionId: decisionID, Nonce: nonce})
	if err != nil {
		return Verdict{}, &transport.Failure{Kind: transport.Refused, Problem: err.Error(), Code: transport.BadRequest}
	}
	stream, cancel := context.WithTimeout(ctx, streamTime+streamGrace)
	defer cancel()
	messages, failure := c.watches.Call(stream, transport.RPC{Method: "WatchDecision", Message: message, Streams: true, ServerTime: streamTime})
	if failure != nil {
		return Verdict{}, failure
	}
	want := c.expect(nonce)
	want.decisionID = decisionID
	verdict, failure := readAnswer(messages, want)
	if failure == nil && verdict.Source == SourceGuard && verdict.Reason != ReasonRequestRefused {
		// The sidecar could not ask the service during this stream; the next one may find it again.
		return Verdict{}, &transport.Failure{Kind: transport.Unavailable, Problem: verdict.Message}
	}
	return verdict, failure
}

// unresolved: nobody has decided, as far as is known.
func (c *Client) unresolved(decisionID string, stopped, last *transport.Failure) Verdict {
	why := noAnswer{reason: ReasonDeadlineExceeded}
	switch {
	case stopped != nil && stopped.Kind == transport.Cancelled:
		return c.notAwaited(decisionID, why, "the caller cancelled")
	case last == nil || last.Kind == transport.Late || last.Kind == transport.Deadline:
		return c.notAwaited(decisionID, why, "there was no answer in time")
	case last.Kind == transport.Malformed:
		return c.notAwaited(decisionID, noAnswer{reason: ReasonMalformedResponse}, last.Problem)
	default:
		return c.notAwaited(decisionID, noAnswer{reason: ReasonServiceUnavailable}, last.Problem)
	}
}

// notAwaited is a deny under the watched decision's id: nothing else was decided.
func (c *Client) notAwaited(decisionID string, why noAnswer, problem string) Verdict {
	why.message = fmt.Sprintf("The review could not be waited for: %s.", problem)
	return c.deny(why, Verdict{DecisionID: decisionID})
}
