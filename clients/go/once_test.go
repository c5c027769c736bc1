package datacrawl

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var allowed = Verdict{Decision: Allow, DecisionID: testDecision, IdempotencyKey: "k"}

func TestAStartWhoseAnswerWasLostIsAskedForWithTheSameNonce(t *testing.T) {
	service := serve(t)
	start := service.begin
	service.begin = func(ctx context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		if len(service.begun) < 3 {
			return nil, status.Error(codes.Unavailable, "lost")
		}
		return start(ctx, request)
	}
	client := open(t, service.url)
	if begun := client.Begin(t.Context(), allowed); !begun.Started() {
		t.Fatalf("%+v", begun)
	}
	client.Begin(t.Context(), allowed)
	first := string(service.begun[0].Nonce)
	if len(service.begun) != 4 || string(service.begun[1].Nonce) != first || string(service.begun[2].Nonce) != first || string(service.begun[3].Nonce) == first {
		t.Fatalf("%v", service.begun)
	}
}

func TestWhatIsNotAnAllowIsNotStarted(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	for _, verdict := range []Verdict{{}, {Decision: Deny, DecisionID: testDecision}, {Decision: NeedsReview, DecisionID: testDecision}, {Decision: Allow, DecisionID: "x"}} {
		if start := client.Begin(t.Context(), verdict); start.Started() || start.Reason != ReasonRequestRefused {
			t.Errorf("%+v", start)
		}
	}
	if len(service.begun) != 0 {
		t.Fatal("the service was asked")
	}
}

func TestAnEarlierStartAndARefusalAreNotStarts(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	start := service.begin
	service.begin = func(ctx context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		answer, err := start(ctx, request)
		answer.State, answer.ExecutionId = authzv1.ExecutionState_EXECUTION_STATE_ALREADY_STARTED, ""
		answer.Outcome, answer.EndedAt = authzv1.Outcome_OUTCOME_FAILED, timestamppb.Now()
		return answer, err
	}
	if begun := client.Begin(t.Context(), allowed); begun.Started() || begun.State != AlreadyStarted || begun.Outcome != Failed || begun.StartedBy == "" || begun.EndedAt.IsZero() {
		t.Fatalf("%+v", begun)
	}
	service.begin = func(_ context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		return &authzv1.BeginExecutionResponse{
			Reason: authzv1.ExecutionRefusal_EXECUTION_REFUSAL_EXPIRED, DecisionId: request.DecisionId, Nonce: request.Nonce, AgentId: "demo",
			Source: authzv1.Source_SOURCE_SERVICE, State: authzv1.ExecutionState_EXECUTION_STATE_REFUSED,
		}, nil
	}
	if begun := client.Begin(t.Context(), allowed); begun.Started() || begun.State != StartRefused || begun.Reason != ReasonExpired {
		t.Fatalf("%+v", begun)
	}
}

func TestAnAnswerToAnotherStartIsNotAStart(t *testing.T) {
	service := serve(t)
	client := open(t, service.url, func(o *Options) { o.Circuit.Failures = 1000 })
	for name, spoil := range map[string]func(*authzv1.BeginExecutionResponse){
		"the nonce":           func(r *authzv1.BeginExecutionResponse) { r.Nonce = make([]byte, 16) },
		"the decision":        func(r *authzv1.BeginExecutionResponse) { r.DecisionId = "0195e0b2-7a3b-7c1d-8a2b-ffffffffffff" },
		"the agent":           func(r *authzv1.BeginExecutionResponse) { r.AgentId = "other" },
		"no execution":        func(r *authzv1.BeginExecutionResponse) { r.ExecutionId = "" },
		"no time":             func(r *authzv1.BeginExecutionResponse) { r.StartedAt = nil },
		"a reason to refuse":  func(r *authzv1.BeginExecutionResponse) { r.Reason = authzv1.ExecutionRefusal_EXECUTION_REFUSAL_EXPIRED },
		"an outcome, no time": func(r *authzv1.BeginExecutionResponse) { r.Outcome = authzv1.Outcome_OUTCOME_FAILED },
		"an unknown state":    func(r *authzv1.BeginExecutionResponse) { r.State = 3 },
	} {
		service.begin = func(_ context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
			answer := startTo(request)
			spoil(answer)
			return answer, nil
		}
		if start := client.Begin(t.Context(), allowed); start.Started() || start.Reason != ReasonMalformedResponse {
			t.Errorf("%s: %+v", name, start)
		}
	}
	service.report = func(_ context.Context, request *authzv1.ReportOutcomeRequest) (*authzv1.ReportOutcomeResponse, error) {
		return &authzv1.ReportOutcomeResponse{DecisionId: request.DecisionId, ExecutionId: request.ExecutionId, Outcome: authzv1.Outcome_OUTCOME_UNKNOWN, EndedAt: timestamppb.Now()}, nil
	}
	execution := Start{State: Started, DecisionID: testDecision, ExecutionID: testDecision}
	if reported := client.Report(t.Context(), execution, Report{Outcome: Succeeded}); reported.Recorded || reported.Reason != ReasonMalformedResponse {
		t.Errorf("%+v", reported)
	}
}

func TestReportsThatBreakTheContractAreNotSent(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	execution := Start{State: Started, DecisionID: testDecision, ExecutionID: testDecision}
	for name, report := range map[string]Report{
		"no outcome":          {},
		"another outcome":     {Outcome: "done"},
		"a negative duration": {Outcome: Succeeded, Duration: -1},
		"a long code":         {Outcome: Failed, ErrorCode: strings.Repeat("x", 129)},
		"a code with a line":  {Outcome: Failed, ErrorCode: "a\nb"},
		"a long summary":      {Outcome: Failed, Summary: strings.Repeat("x", 1025)},
		"invalid UTF-8":       {Outcome: Failed, Summary: "\xff"},
	} {
		if reported := client.Report(t.Context(), execution, report); reported.Recorded || reported.Code != CodeBadRequest {
			t.Errorf("%s: %+v", name, reported)
		}
	}
	if reported := client.Report(t.Context(), Start{DecisionID: testDecision}, Report{Outcome: Succeeded}); reported.Recorded {
		t.Errorf("%+v", reported)
	}
	if len(service.reported) != 0 {
		t.Fatal("a report was sent")
	}
	report := Report{Outcome: Failed, ErrorCode: "HTTP_503", Duration: 1500 * time.Millisecond, Summary: "no"}
	if reported := client.Report(t.Context(), execution, report); !reported.Recorded || reported.EndedAt.IsZero() {
		t.Fatalf("%+v", reported)
	}
	sent := service.reported[0]
	if sent.ErrorCode != "HTTP_503" || sent.GetDurationMs() != 1500 || sent.Summary != "no" || sent.Outcome != authzv1.Outcome_OUTCOME_FAILED {
		t.Fatalf("%v", sent)
	}
}

func TestAProtectedActionRunsOnceAndIsReported(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	var got map[string]any
	send := Protect(client, "gmail.send_email", func(_ context.Context, payload map[string]any) (string, error) {
		got = payload
		return "sent", nil
	}, ProtectOptions[map[string]any]{Key: func(payload map[string]any) string { return fmt.Sprint("send-", payload["id"]) }, Principal: "ann", SessionID: "run"})
	payload := map[string]any{"id": 7, "to": []string{"ann@example.com"}}
	result, err := send(t.Context(), payload)
	if err != nil || result != "sent" || !reflect.DeepEqual(got, payload) {
		t.Fatalf("%v %v %v", result, err, got)
	}
	got["to"].([]string)[0] = "eve"
	if payload["to"].([]string)[0] != "ann@example.com" {
		t.Error("the action got the caller's own payload")
	}
	if asked := service.asked[0]; asked.IdempotencyKey != "send-7" || asked.GetPrincipal() != "ann" || asked.GetSessionId() != "run" {
		t.Errorf("%v", asked)
	}
	if len(service.begun) != 1 || len(service.reported) != 1 || service.reported[0].Outcome != authzv1.Outcome_OUTCOME_SUCCEEDED {
		t.Errorf("%v %v", service.begun, service.reported)
	}
}

type email struct {
	To     []string `json:"to"`
	Amount int64    `json:"amount"`
}

func TestAProtectedActionTakesStructs(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	send := Protect(client, "gmail.send_email", func(_ context.Context, e email) (int64, error) { return e.Amount, nil }, ProtectOptions[email]{})
	if amount, err := send(t.Context(), email{[]string{"ann"}, 12}); err != nil || amount != 12 {
		t.Fatalf("%v %v", amount, err)
	}
	if fields := service.asked[0].Payload.AsMap(); !reflect.DeepEqual(fields, map[string]any{"to": []any{"ann"}, "amount": 12.0}) {
		t.Fatalf("%v", fields)
	}
	if _, err := send(t.Context(), email{Amount: 1 << 60}); !errorIs[*DeniedError](err) {
		t.Fatalf("an amount that a double does not hold: %v", err)
	}
	list := Protect(client, "t", func(context.Context, []int) (int, error) { return 0, nil }, ProtectOptions[[]int]{})
	if _, err := list(t.Context(), []int{1}); !errorIs[*DeniedError](err) {
		t.Fatalf("a list: %v", err)
	}
	if service.times() != 1 {
		t.Fatalf("%d requests", service.times())
	}
}

func errorIs[E error](err error) bool {
	var found E
	return errors.As(err, &found)
}

func TestAProtectedActionThatMayNotRunDoesNot(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	var runs atomic.Int32
	send := Protect(client, "gmail.send_email", func(context.Context, map[string]any) (int, error) { runs.Add(1); return 1, nil }, ProtectOptions[map[string]any]{})
	allow, start := service.authorize, service.begin

	service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		return answerTo(request, authzv1.Decision_DECISION_DENY, authzv1.Reason_REASON_RULE_DENIED), nil
	}
	if _, err := send(t.Context(), nil); !errorIs[*DeniedError](err) {
		t.Errorf("%v", err)
	}
	if _, err := send(t.Context(), map[string]any{"c": make(chan int)}); !errorIs[*DeniedError](err) {
		t.Errorf("%v", err)
	}
	service.authorize = allow
	service.begin = func(ctx context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		answer, err := start(ctx, request)
		answer.State, answer.ExecutionId = authzv1.ExecutionState_EXECUTION_STATE_ALREADY_STARTED, ""
		return answer, err
	}
	var already *AlreadyStartedError
	if _, err := send(t.Context(), nil); !errors.As(err, &already) || already.Start.StartedBy == "" || already.Error() == "" {
		t.Errorf("%v", err)
	}
	service.begin = func(context.Context, *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		return nil, status.Error(codes.Internal, "no")
	}
	if _, err := send(t.Context(), nil); !errorIs[*NotStartedError](err) || err.Error() == "" {
		t.Errorf("%v", err)
	}
	keyless := Protect(client, "t", func(context.Context, map[string]any) (int, error) { runs.Add(1); return 1, nil }, ProtectOptions[map[string]any]{Key: func(map[string]any) string { return "" }})
	if _, err := keyless(t.Context(), nil); !errorIs[*DeniedError](err) {
		t.Errorf("%v", err)
	}
	if runs.Load() != 0 || len(service.reported) != 0 {
		t.Fatalf("%d runs, %v", runs.Load(), service.reported)
	}
}

func TestHowAnActionEndsIsReportedWithoutItsText(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	for name, test := range map[string]struct {
		action func(ctx context.Context, cancel func()) error
		want   authzv1.Outcome
	}{
		"an error":               {func(context.Context, func()) error { return errors.New("secret") }, authzv1.Outcome_OUTCOME_FAILED},
		"a cancelled error":      {func(context.Context, func()) error { return context.Canceled }, authzv1.Outcome_OUTCOME_UNKNOWN},
		"a deadline":             {func(context.Context, func()) error { return context.DeadlineExceeded }, authzv1.Outcome_OUTCOME_UNKNOWN},
		"a context that was cut": {func(_ context.Context, cancel func()) error { cancel(); return errors.New("secret") }, authzv1.Outcome_OUTCOME_UNKNOWN},
		"a panic":                {func(context.Context, func()) error { panic("secret") }, authzv1.Outcome_OUTCOME_UNKNOWN},
	} {
		service.reported = nil
		ctx, cancel := context.WithCancel(t.Context())
		send := Protect(client, "t", func(ctx context.Context, _ map[string]any) (int, error) { return 0, test.action(ctx, cancel) }, ProtectOptions[map[string]any]{})
		func() {
			defer func() {
				if recovered := recover(); (recovered != nil) != (name == "a panic") {
					t.Errorf("%s: %v", name, recovered)
				}
			}()
			if _, err := send(ctx, nil); err == nil {
				t.Errorf("%s: no error", name)
			}
		}()
		cancel()
		if len(service.reported) != 1 || service.reported[0].Outcome != test.want || strings.Contains(service.reported[0].String(), "secret") {
			t.Errorf("%s: %v", name, service.reported)
		}
	}
}

func TestAReportThatIsNotRecordedIsLoggedAndChangesNothing(t *testing.T) {
	service := serve(t)
	service.report = func(context.Context, *authzv1.ReportOutcomeRequest) (*authzv1.ReportOutcomeResponse, error) {
		return nil, status.Error(codes.FailedPrecondition, "another outcome is on record")
	}
	var log logged
	client := open(t, service.url, logTo(&log))
	send := Protect(client, "t", func(context.Context, map[string]any) (int, error) { return 5, nil }, ProtectOptions[map[string]any]{})
	if result, err := send(t.Context(), nil); err != nil || result != 5 {
		t.Fatalf("%v %v", result, err)
	}
	if !strings.Contains(log.String(), "an outcome was not recorded") || !strings.Contains(log.String(), testDecision) {
		t.Fatalf("%s", log.String())
	}
}

func TestWhereItMayRepeatItIsNotStarted(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	send := Protect(client, "t", func(context.Context, map[string]any) (int, error) { return 5, nil }, ProtectOptions[map[string]any]{Repeat: true})
	for range 2 {
		if result, err := send(t.Context(), nil); err != nil || result != 5 {
			t.Fatalf("%v %v", result, err)
		}
	}
	if len(service.begun)+len(service.reported) != 0 {
		t.Fatalf("%v %v", service.begun, service.reported)
	}
}

// watchAnswer is a message of WatchDecision.
func watchAnswer(request *authzv1.WatchDecisionRequest, decision authzv1.Decision, reason authzv1.Reason) *authzv1.WatchDecisionResponse {
	return &authzv1.WatchDecisionResponse{
		Reason: reason, DecisionId: request.DecisionId, Replayed: true, DecidedAt: timestamppb.Now(), AgentId: "demo", Tool: "t",
		IdempotencyKey: "k", Nonce: request.Nonce, Source: authzv1.Source_SOURCE_SERVICE, Decision: decision,
	}
}

func TestAReviewIsWaitedForOverAsManyStreamsAsItTakes(t *testing.T) {
	service := serve(t)
	var streams atomic.Int32
	service.watch = func(request *authzv1.WatchDecisionRequest, stream grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
		pending := watchAnswer(request, authzv1.Decision_DECISION_NEEDS_REVIEW, authzv1.Reason_REASON_REVIEW_PENDING)
		switch streams.Add(1) {
		case 1:
			return status.Error(codes.Unavailable, "restarting")
		case 2:
			return stream.Send(pending)
		default:
			_ = stream.Send(pending)
			return stream.Send(watchAnswer(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_REVIEW_APPROVED))
		}
	}
	verdict := open(t, service.url).WaitForReview(t.Context(), testDecision)
	if !verdict.Allowed() || verdict.Reason != ReasonReviewApproved || verdict.DecisionID != testDecision || streams.Load() != 3 {
		t.Fatalf("%d %+v", streams.Load(), verdict)
	}
}

func TestAReviewThatNobodyAnswersStillNeedsOne(t *testing.T) {
	service := serve(t)
	service.watch = func(request *authzv1.WatchDecisionRequest, stream grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
		return stream.Send(watchAnswer(request, authzv1.Decision_DECISION_NEEDS_REVIEW, authzv1.Reason_REASON_REVIEW_PENDING))
	}
	client := open(t, service.url)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if verdict := client.WaitForReview(ctx, testDecision); verdict.Decision != NeedsReview || verdict.Source != SourceService {
		t.Fatalf("%+v", verdict)
	}
}

func TestAReviewThatCannotBeWaitedForIsADeny(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	for name, test := range map[string]struct {
		watch  func(*authzv1.WatchDecisionRequest, grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error
		reason Reason
	}{
		"refused": {func(*authzv1.WatchDecisionRequest, grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
			return status.Error(codes.NotFound, "no such decision")
		}, ReasonRequestRefused},
		"unavailable": {func(*authzv1.WatchDecisionRequest, grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
			return status.Error(codes.Unavailable, "down")
		}, ReasonServiceUnavailable},
		"another decision": {func(request *authzv1.WatchDecisionRequest, stream grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
			answer := watchAnswer(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_REVIEW_APPROVED)
			answer.DecisionId = "0195e0b2-7a3b-7c1d-8a2b-ffffffffffff"
			return stream.Send(answer)
		}, ReasonMalformedResponse},
		"an answer after the last": {func(request *authzv1.WatchDecisionRequest, stream grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
			for range 2 {
				_ = stream.Send(watchAnswer(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_REVIEW_APPROVED))
			}
			return nil
		}, ReasonMalformedResponse},
	} {
		service.watch = test.watch
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		verdict := client.WaitForReview(ctx, testDecision)
		cancel()
		if verdict.Allowed() || verdict.Reason != test.reason || verdict.DecisionID != testDecision {
			t.Errorf("%s: %+v", name, verdict)
		}
	}
	if verdict := client.WaitForReview(t.Context(), "x"); verdict.Allowed() || verdict.Code != CodeBadRequest {
		t.Errorf("%+v", verdict)
	}
	if state := client.Circuit(); state.ConsecutiveFailures != 0 {
		t.Errorf("waiting counted: %+v", state)
	}
}

func TestProtectWaitsForPeople(t *testing.T) {
	service := serve(t)
	service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		return answerTo(request, authzv1.Decision_DECISION_NEEDS_REVIEW, authzv1.Reason_REASON_REVIEW_PENDING), nil
	}
	service.watch = func(request *authzv1.WatchDecisionRequest, stream grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
		return stream.Send(watchAnswer(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_REVIEW_APPROVED))
	}
	client := open(t, service.url)
	action := func(context.Context, map[string]any) (int, error) { return 5, nil }
	if _, err := Protect(client, "t", action, ProtectOptions[map[string]any]{})(t.Context(), nil); !errorIs[*DeniedError](err) {
		t.Fatalf("%v", err)
	}
	if result, err := Protect(client, "t", action, ProtectOptions[map[string]any]{WaitForReview: 10 * time.Second})(t.Context(), nil); err != nil || result != 5 {
		t.Fatalf("%v %v", result, err)
	}
}
