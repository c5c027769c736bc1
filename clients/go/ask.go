package datacrawl

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/circuit"
	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
)

const (
	maxAttempts = 3
	firstPause  = 100 * time.Millisecond
	// A deadline speaks against the service only if it left as much time.
	fairTime = time.Second
)

// ended is what a call came to, whatever its attempts.
type ended struct {
	// Nil: answered.
	failure *transport.Failure
	took    time.Duration
	// An attempt before the last one failed.
	failedBefore bool
}

// withRetries tries until an attempt comes to something else than that the service is unavailable. It ends with the context, if its
// attempts do. What a sidecar says to be unavailable is not tried again: it has tried.
func (c *Client) withRetries(ctx context.Context, attempt func(context.Context) *transport.Failure) ended {
	startedAt := time.Now()
	for attempts := 1; ; attempts++ {
		failure := attempt(ctx)
		end := ended{failure, time.Since(startedAt), attempts > 1}
		if failure == nil || failure.Kind != transport.Unavailable || attempts == maxAttempts || (c.settings.sidecar && failure.Said) {
			return end
		}
		// Grows threefold, and half of it is chance: processes that failed together do not come back together.
		pause := time.Duration(float64(firstPause) * math.Pow(3, float64(attempts-1)) * (0.5 + mathrand.Float64()/2))
		if deadline, ok := ctx.Deadline(); ok && pause >= time.Until(deadline) {
			return end
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if stopped := transport.Stopped(ctx); stopped != nil {
				return ended{stopped, time.Since(startedAt), true}
			}
			return end
		}
	}
}

// throughCircuit calls the service with the circuit's permit, and reports how it went: once, whatever the attempts.
func (c *Client) throughCircuit(ctx context.Context, permit *circuit.Permit, attempt func(context.Context) *transport.Failure) *transport.Failure {
	outcome, problem := circuit.Ignored, ""
	defer func() { c.report(permit, outcome, problem) }()
	if permit.Probe {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, permit.Lease)
		defer cancel()
	}
	end := c.withRetries(ctx, attempt)
	outcome, problem = outcomeOf(end, permit.Probe)
	return end.failure
}

func (c *Client) report(permit *circuit.Permit, outcome circuit.Outcome, problem string) {
	before := c.breaker.Snapshot().State
	c.breaker.Report(permit, outcome, problem)
	if after := c.breaker.Snapshot(); after.State != before {
		c.settings.Logger.Warn("datacrawl: the circuit is "+string(after.State), "from", string(before), "problem", problem)
	}
}

// outcomeOf is what a call says of the service.
func outcomeOf(end ended, probe bool) (circuit.Outcome, string) {
	if end.failure == nil {
		return circuit.Success, ""
	}
	problem := end.failure.Problem
	switch end.failure.Kind {
	case transport.Malformed, transport.Unavailable, transport.Failed:
		return circuit.Failure, problem
	case transport.Late:
		if end.took >= fairTime {
			return circuit.Failure, problem
		}
	case transport.Deadline:
		if end.failedBefore || (!end.failure.Busy && end.took >= fairTime) {
			return circuit.Failure, "no answer before the deadline"
		}
	case transport.Refused:
		// What refuses is there, which is all that a probe asks.
		if probe {
			return circuit.Success, ""
		}
	case transport.Unsent, transport.Cancelled:
	}
	return circuit.Ignored, ""
}

// noAnswer is why there is no answer that could be passed on, in this client's own words.
type noAnswer struct {
	reason     Reason
	message    string
	code       Code
	retryAfter time.Duration
}

func noAnswerOf(failure *transport.Failure) noAnswer {
	switch failure.Kind {
	case transport.Malformed:
		return noAnswer{reason: ReasonMalformedResponse, message: fmt.Sprintf("The answer was malformed: %s.", failure.Problem)}
	case transport.Unavailable, transport.Failed:
		return noAnswer{reason: ReasonServiceUnavailable, message: fmt.Sprintf("The service failed: %s.", failure.Problem)}
	case transport.Refused:
		message := fmt.Sprintf("The request was refused: %s.", failure.Problem)
		return noAnswer{ReasonRequestRefused, message, Code(failure.Code), failure.RetryAfter}
	case transport.Unsent:
		return noAnswer{reason: ReasonRequestRefused, message: fmt.Sprintf("The request was not sent: %s.", failure.Problem), code: CodeBadCredential}
	case transport.Cancelled:
		return noAnswer{reason: ReasonDeadlineExceeded, message: "The caller cancelled before there was an answer."}
	default:
		return noAnswer{reason: ReasonDeadlineExceeded, message: "There was no answer before the deadline."}
	}
}

func badRequest(message string) noAnswer {
	return noAnswer{reason: ReasonRequestRefused, message: message, code: CodeBadRequest}
}

func circuitOpen(permit *circuit.Permit) noAnswer {
	message := fmt.Sprintf("The circuit is open after repeated failures of the service; the next try may be in %s.", permit.RetryIn.Round(time.Second))
	return noAnswer{reason: ReasonCircuitOpen, message: message}
}

func newNonce() []byte {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	return nonce
}

// newID is a UUID of version 7.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	millis := uint64(time.Now().UnixMilli())
	for index := range 6 {
		id[index] = byte(millis >> (40 - 8*index))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
