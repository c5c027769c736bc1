// Package datacrawltest has a stand-in for a client in tests of agents.
package datacrawltest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/datacrawl/datacrawl/clients/go"
	"github.com/datacrawl/datacrawl/clients/go/internal/jcs"
)

// An Answer decides by the payload.
type Answer func(payload map[string]any) datacrawl.Decision

// Always answers the same.
func Always(decision datacrawl.Decision) Answer {
	return func(map[string]any) datacrawl.Decision { return decision }
}

// A Fake connects to nothing, and denies every tool without an answer. It starts each decision and each given idempotency key once. It is
// safe for concurrent use.
type Fake struct {
	answers map[string]Answer

	mu       sync.Mutex
	requests []datacrawl.Request
	reports  []datacrawl.Report
	reviews  map[string]datacrawl.Verdict
	started  map[string]*execution
}

type execution struct {
	start  datacrawl.Start
	report *datacrawl.Report
}

var _ datacrawl.Authorizer = (*Fake)(nil)

// New makes a fake with answers by tool.
func New(answers map[string]Answer) *Fake {
	return &Fake{answers: maps.Clone(answers), reviews: make(map[string]datacrawl.Verdict), started: make(map[string]*execution)}
}

// Requests are those that were asked, in order; each payload is a copy.
func (f *Fake) Requests() []datacrawl.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]datacrawl.Request(nil), f.requests...)
}

// Reports say how executions ended, in order.
func (f *Fake) Reports() []datacrawl.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]datacrawl.Report(nil), f.reports...)
}

// Authorize implements [datacrawl.Authorizer].
func (f *Fake) Authorize(_ context.Context, request datacrawl.Request) datacrawl.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := jcs.Object(request.Payload); err != nil {
		refused := verdict(request, datacrawl.ReasonRequestRefused, datacrawl.Deny)
		refused.Code, refused.Message = datacrawl.CodeBadRequest, err.Error()
		return refused
	}
	request.Payload = jcs.Copy(request.Payload)
	f.requests = append(f.requests, request)
	answer := f.answers[request.Tool]
	if answer == nil {
		return verdict(request, datacrawl.ReasonNoMatchingRule, datacrawl.Deny)
	}
	switch answer(jcs.Copy(request.Payload)) {
	case datacrawl.Allow:
		return verdict(request, datacrawl.ReasonRuleAllowed, datacrawl.Allow)
	case datacrawl.NeedsReview:
		pending := verdict(request, datacrawl.ReasonReviewPending, datacrawl.NeedsReview)
		f.reviews[pending.DecisionID] = pending
		return pending
	default:
		return verdict(request, datacrawl.ReasonRuleDenied, datacrawl.Deny)
	}
}

// ResolveReview decides a review; later calls of WaitForReview return this decision. It panics if the decision needs no review.
func (f *Fake) ResolveReview(decisionID string, decision datacrawl.Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	review, ok := f.reviews[decisionID]
	if !ok {
		panic(fmt.Sprintf("datacrawltest: there is no decision %s that needs a review", decisionID))
	}
	review.Decision, review.Reason = datacrawl.Deny, datacrawl.ReasonReviewRejected
	if decision == datacrawl.Allow {
		review.Decision, review.Reason = datacrawl.Allow, datacrawl.ReasonReviewApproved
	}
	f.reviews[decisionID] = review
}

// WaitForReview implements [datacrawl.Authorizer]. It does not wait: a review that was not resolved is still pending.
func (f *Fake) WaitForReview(_ context.Context, decisionID string) datacrawl.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if review, ok := f.reviews[decisionID]; ok {
		return review
	}
	refused := verdict(datacrawl.Request{}, datacrawl.ReasonRequestRefused, datacrawl.Deny)
	refused.Code, refused.DecisionID = datacrawl.CodeBadRequest, decisionID
	return refused
}

// Begin implements [datacrawl.Authorizer].
func (f *Fake) Begin(_ context.Context, verdict datacrawl.Verdict) datacrawl.Start {
	f.mu.Lock()
	defer f.mu.Unlock()
	start := datacrawl.Start{DecisionID: verdict.DecisionID, Message: "The fake starts each action once.", Source: datacrawl.SourceService}
	if !verdict.Allowed() {
		start.State, start.Reason = datacrawl.StartRefused, datacrawl.ReasonNotAllowed
		return start
	}
	key := "key " + verdict.IdempotencyKey
	if verdict.IdempotencyKey == "" {
		key = verdict.DecisionID
	}
	start.StartedAt, start.StartedBy = time.Now(), "fake"
	start.ReportDueAt = start.StartedAt.Add(15 * time.Minute)
	if before := f.started[key]; before != nil {
		start.State = datacrawl.AlreadyStarted
		start.StartedAt, start.ReportDueAt = before.start.StartedAt, before.start.ReportDueAt
		if before.report != nil {
			start.Outcome, start.EndedAt = before.report.Outcome, before.start.StartedAt.Add(before.report.Duration)
		}
		return start
	}
	start.State, start.ExecutionID = datacrawl.Started, newID()
	f.started[key] = &execution{start: start}
	return start
}

// Report implements [datacrawl.Authorizer].
func (f *Fake) Report(_ context.Context, started datacrawl.Start, report datacrawl.Report) datacrawl.Reported {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.started {
		if one.start.ExecutionID != started.ExecutionID || started.ExecutionID == "" {
			continue
		}
		if one.report == nil {
			one.report = &report
			f.reports = append(f.reports, report)
			return datacrawl.Reported{Recorded: true, EndedAt: time.Now()}
		}
		if one.report.Outcome == report.Outcome {
			return datacrawl.Reported{Recorded: true, EndedAt: time.Now(), Replayed: true}
		}
	}
	return datacrawl.Reported{
		Reason:  datacrawl.ReasonRequestRefused,
		Code:    datacrawl.CodeBadRequest,
		Message: "There is no such execution, or it ended otherwise.",
	}
}

func verdict(request datacrawl.Request, reason datacrawl.Reason, decision datacrawl.Decision) datacrawl.Verdict {
	return datacrawl.Verdict{
		Decision:       decision,
		Reason:         reason,
		Message:        fmt.Sprintf("The fake answers %s.", reason),
		DecisionID:     newID(),
		Source:         datacrawl.SourceService,
		DecidedAt:      time.Now(),
		IdempotencyKey: request.IdempotencyKey,
		Tool:           request.Tool,
	}
}

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
