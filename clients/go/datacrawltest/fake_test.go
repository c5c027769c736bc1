package datacrawltest

import (
	"context"
	"testing"
	"time"

	"github.com/datacrawl/datacrawl/clients/go"
)

func TestAFakeDeniesByDefault(t *testing.T) {
	fake := New(map[string]Answer{"odd": Always("ALLOW"), "zero": Always("")})
	for _, tool := range []string{"unheard.of", "odd", "zero"} {
		if verdict := fake.Authorize(t.Context(), datacrawl.Request{Tool: tool}); verdict.Allowed() || verdict.Decision != datacrawl.Deny {
			t.Errorf("%s: %+v", tool, verdict)
		}
	}
	if start := fake.Begin(t.Context(), datacrawl.Verdict{}); start.Started() {
		t.Errorf("%+v", start)
	}
	if verdict := fake.WaitForReview(t.Context(), "unknown"); verdict.Allowed() {
		t.Errorf("%+v", verdict)
	}
	if reported := fake.Report(t.Context(), datacrawl.Start{}, datacrawl.Report{Outcome: datacrawl.Succeeded}); reported.Recorded {
		t.Errorf("%+v", reported)
	}
}

func TestAFakeRefusesWhatTheClientRefuses(t *testing.T) {
	fake := New(map[string]Answer{"t": Always(datacrawl.Allow)})
	if verdict := fake.Authorize(t.Context(), datacrawl.Request{Tool: "t", Payload: map[string]any{"c": make(chan int)}}); verdict.Allowed() || verdict.Code != datacrawl.CodeBadRequest {
		t.Fatalf("%+v", verdict)
	}
}

func TestAFakeStartsEachKeyOnce(t *testing.T) {
	fake := New(map[string]Answer{"t": Always(datacrawl.Allow)})
	one := fake.Authorize(t.Context(), datacrawl.Request{Tool: "t", IdempotencyKey: "k"})
	two := fake.Authorize(t.Context(), datacrawl.Request{Tool: "t", IdempotencyKey: "k"})
	start := fake.Begin(t.Context(), one)
	if !start.Started() || fake.Begin(t.Context(), two).State != datacrawl.AlreadyStarted {
		t.Fatalf("%+v", start)
	}
	if reported := fake.Report(t.Context(), start, datacrawl.Report{Outcome: datacrawl.Failed}); !reported.Recorded || reported.Replayed {
		t.Fatalf("%+v", reported)
	}
	if reported := fake.Report(t.Context(), start, datacrawl.Report{Outcome: datacrawl.Failed}); !reported.Replayed {
		t.Fatalf("%+v", reported)
	}
	if reported := fake.Report(t.Context(), start, datacrawl.Report{Outcome: datacrawl.Succeeded}); reported.Recorded {
		t.Fatalf("%+v", reported)
	}
	if again := fake.Begin(t.Context(), two); again.Outcome != datacrawl.Failed || again.EndedAt.IsZero() {
		t.Fatalf("%+v", again)
	}
}

func TestAFakesReviewIsResolvedByTheTest(t *testing.T) {
	fake := New(map[string]Answer{"t": Always(datacrawl.NeedsReview)})
	ran := 0
	run := datacrawl.Protect(fake, "t", func(context.Context, map[string]any) (int, error) { ran++; return 0, nil }, datacrawl.ProtectOptions[map[string]any]{WaitForReview: time.Second})
	if _, err := run(t.Context(), nil); err == nil || ran != 0 {
		t.Fatal("a pending review was run")
	}
	verdict := fake.Authorize(t.Context(), datacrawl.Request{Tool: "t"})
	for _, decision := range []datacrawl.Decision{datacrawl.Deny, datacrawl.Allow} {
		fake.ResolveReview(verdict.DecisionID, decision)
		if resolved := fake.WaitForReview(t.Context(), verdict.DecisionID); resolved.Decision != decision || resolved.DecisionID != verdict.DecisionID {
			t.Errorf("%+v", resolved)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a decision that nobody knows was resolved")
		}
	}()
	fake.ResolveReview("unknown", datacrawl.Allow)
}
