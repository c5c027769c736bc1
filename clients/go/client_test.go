package datacrawl

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestAnAllowIsAllowedWithAllThatTheServiceSaid(t *testing.T) {
	service := serve(t)
	verdict := open(t, service.url).Authorize(t.Context(), mail("send-1"))
	want := Verdict{
		Decision:       Allow,
		Reason:         ReasonRuleAllowed,
		Message:        "A rule says so.",
		DecisionID:     testDecision,
		PolicyVersion:  "sha256:" + strings.Repeat("0", 64),
		RuleID:         "mail",
		Source:         SourceService,
		DecidedAt:      time.Unix(1_700_000_000, 0).UTC(),
		IdempotencyKey: "send-1",
		Tool:           "gmail.send_email",
	}
	if verdict != want || !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
}

func TestOnlyAnAllowIsAllowed(t *testing.T) {
	for _, decision := range []Decision{"", Deny, NeedsReview, "ALLOW", "allowed", "Allow"} {
		if (Verdict{Decision: decision}).Allowed() {
			t.Errorf("%q is allowed", decision)
		}
	}
	for _, state := range []StartState{"", AlreadyStarted, StartRefused, "STARTED"} {
		if (Start{State: state}).Started() {
			t.Errorf("%q is started", state)
		}
	}
}

func TestDeniesAndReviewsOfTheServiceArePassedOn(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	for reason, decision := range decisionOf {
		number := authzv1.Reason(authzv1.Reason_value["REASON_"+string(reason)])
		wire := authzv1.Decision(authzv1.Decision_value["DECISION_"+strings.ToUpper(string(decision))])
		service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
			return answerTo(request, wire, number), nil
		}
		verdict := client.Authorize(t.Context(), mail("k"))
		isGuards := uint64(number) >= firstGuardReason
		if isGuards && verdict.Reason != ReasonMalformedResponse {
			t.Errorf("the service gave the guard's reason %s, and it is %s", reason, verdict.Reason)
		}
		if !isGuards && (verdict.Reason != reason || verdict.Decision != decision || verdict.Source != SourceService) {
			t.Errorf("%s is %+v", reason, verdict)
		}
	}
}

func TestAServiceIsNotASidecar(t *testing.T) {
	service := serve(t)
	service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		answer := answerTo(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_CIRCUIT_BYPASS)
		answer.Source = authzv1.Source_SOURCE_GUARD
		return answer, nil
	}
	service.begin = func(_ context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		answer := startTo(request)
		answer.Source = authzv1.Source_SOURCE_GUARD
		return answer, nil
	}
	client := open(t, service.url)
	if verdict := client.Authorize(t.Context(), mail("k")); verdict.Allowed() || verdict.Reason != ReasonMalformedResponse {
		t.Errorf("%+v", verdict)
	}
	if start := client.Begin(t.Context(), Verdict{Decision: Allow, DecisionID: testDecision}); start.Started() || start.Reason != ReasonMalformedResponse {
		t.Errorf("%+v", start)
	}
}

func TestARequestGoesWithAllItsFields(t *testing.T) {
	service := serve(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	client := open(t, service.url, func(o *Options) { o.Traceparent = func(context.Context) string { return trace } })
	request := Request{Tool: "t", Payload: map[string]any{"n": 1, "list": []any{nil, true}}, IdempotencyKey: "k", Principal: "ann", SessionID: "run-1"}
	client.Authorize(t.Context(), request)
	asked, headers := service.asked[0], service.headers[0]
	if asked.Tool != "t" || asked.IdempotencyKey != "k" || asked.GetPrincipal() != "ann" || asked.GetSessionId() != "run-1" || asked.AgentId != "demo" {
		t.Errorf("%v", asked)
	}
	if text := asked.Payload.String(); !strings.Contains(text, "null_value") || asked.Payload.Fields["n"].GetNumberValue() != 1 {
		t.Errorf("%s", text)
	}
	if len(asked.Nonce) != 16 || headers.Get("authorization")[0] != "Bearer "+testKey || headers.Get("traceparent")[0] != trace {
		t.Errorf("%x %v", asked.Nonce, headers)
	}
}

func TestWhatIsNoTraceparentIsNotSent(t *testing.T) {
	service := serve(t)
	client := open(t, service.url, func(o *Options) {
		o.Traceparent = func(context.Context) string { return "00-x\r\nauthorization: other" }
	})
	if verdict := client.Authorize(t.Context(), mail("k")); !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
	if sent := service.headers[0].Get("traceparent"); len(sent) != 0 {
		t.Fatalf("%v", sent)
	}
}

func TestRetriesHaveTheSameKeyAndAnotherNonce(t *testing.T) {
	service := serve(t)
	service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		if service.times() < 3 {
			return nil, status.Error(codes.Unavailable, "not recorded")
		}
		return answerTo(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_RULE_ALLOWED), nil
	}
	if verdict := open(t, service.url).Authorize(t.Context(), mail("same")); !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
	nonces := make(map[string]bool)
	for _, asked := range service.asked {
		nonces[string(asked.Nonce)] = true
		if asked.IdempotencyKey != "same" {
			t.Errorf("the key is %s", asked.IdempotencyKey)
		}
	}
	if len(service.asked) != 3 || len(nonces) != 3 {
		t.Fatalf("%d attempts with %d nonces", len(service.asked), len(nonces))
	}
}

func TestThereAreAtMostThreeAttemptsAndOnlyOfWhatIsUnavailable(t *testing.T) {
	for code, want := range map[codes.Code]int{codes.Unavailable: 3, codes.Internal: 1, codes.PermissionDenied: 1, codes.DeadlineExceeded: 1} {
		service := serve(t)
		service.authorize = func(context.Context, *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
			return nil, status.Error(code, "no")
		}
		open(t, service.url).Authorize(t.Context(), mail("k"))
		if service.times() != want {
			t.Errorf("%s: %d attempts, want %d", code, service.times(), want)
		}
	}
}

func TestAnAnswerToAnEarlierAttemptIsNotAnAnswer(t *testing.T) {
	service := serve(t)
	var first []byte
	service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		if service.times() == 1 {
			first = request.Nonce
			return nil, status.Error(codes.Unavailable, "again")
		}
		answer := answerTo(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_RULE_ALLOWED)
		answer.Nonce = first
		return answer, nil
	}
	if verdict := open(t, service.url).Authorize(t.Context(), mail("k")); verdict.Allowed() || verdict.Reason != ReasonMalformedResponse {
		t.Fatalf("%+v", verdict)
	}
}

func TestARefusalSaysWhyAndWhenToComeBack(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	for code, want := range map[codes.Code]Code{
		codes.ResourceExhausted: CodeRateLimited,
		codes.Unauthenticated:   CodeBadCredential,
		codes.PermissionDenied:  CodeNotPermitted,
		codes.InvalidArgument:   CodeBadRequest,
	} {
		service.authorize = func(context.Context, *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
			refusal, err := status.New(code, "no\x1b[31m é").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
			if err != nil {
				t.Error(err)
			}
			return nil, refusal.Err()
		}
		verdict := client.Authorize(t.Context(), mail("k"))
		if verdict.Allowed() || verdict.Reason != ReasonRequestRefused || verdict.Code != want || verdict.RetryAfter != 1500*time.Millisecond {
			t.Errorf("%s: %+v", code, verdict)
		}
		if strings.ContainsRune(verdict.Message, '\x1b') || !strings.Contains(verdict.Message, "é") {
			t.Errorf("%q", verdict.Message)
		}
	}
	if state := client.Circuit(); state.ConsecutiveFailures != 0 {
		t.Errorf("refusals counted: %+v", state)
	}
}

func TestTheDerivedKeyIsThatOfTheSharedVectors(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	first := client.Authorize(t.Context(), Request{Tool: "gmail.send_email", Payload: map[string]any{"subject": "Hi", "body": "Hello", "to": []string{"ann@example.com"}}})
	const want = "sha256:f6b9a9e63b67188de0dca68ef7ac95c9c49b3c185a249721f12441a53dc7a740"
	if key := service.asked[0].IdempotencyKey; key != want || first.IdempotencyKey != want {
		t.Fatalf("the key is %s, and the verdict says %s", key, first.IdempotencyKey)
	}
}

func TestRequestsThatBreakTheContractAreDeniedAndNotSent(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	cycle := map[string]any{}
	cycle["cycle"] = cycle
	for name, request := range map[string]Request{
		"no tool":               {},
		"a key of 257 bytes":    mail(strings.Repeat("k", 257)),
		"a channel":             {Tool: "t", Payload: map[string]any{"c": make(chan int)}},
		"NaN":                   {Tool: "t", Payload: map[string]any{"n": math.NaN()}},
		"a cycle":               {Tool: "t", Payload: cycle},
		"invalid UTF-8":         {Tool: "t", Payload: map[string]any{"s": "\xed\xa0\x80"}},
		"a principal of 257":    {Tool: "t", Principal: strings.Repeat("p", 257)},
		"a session with a line": {Tool: "t", SessionID: "a\nb"},
		"256 KiB and more":      {Tool: "t", Payload: map[string]any{"s": strings.Repeat("x", 256*1024)}},
	} {
		verdict := client.Authorize(t.Context(), request)
		if verdict.Allowed() || verdict.Reason != ReasonRequestRefused || verdict.Code != CodeBadRequest || verdict.Source != SourceGuard {
			t.Errorf("%s: %+v", name, verdict)
		}
		if !uuid.MatchString(verdict.DecisionID) || !strings.HasSuffix(verdict.Message, ".") {
			t.Errorf("%s: %q %q", name, verdict.DecisionID, verdict.Message)
		}
	}
	if service.times() != 0 {
		t.Fatalf("%d requests were sent", service.times())
	}
}

func TestFiveFailuresOpenTheCircuitAndThenNothingIsAsked(t *testing.T) {
	service := serve(t)
	service.authorize = func(context.Context, *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		return nil, status.Error(codes.Internal, "a bug")
	}
	var log logged
	client := open(t, service.url, logTo(&log))
	for range 5 {
		if verdict := client.Authorize(t.Context(), mail("k")); verdict.Reason != ReasonServiceUnavailable {
			t.Fatalf("%+v", verdict)
		}
	}
	for range 10 {
		verdict := client.Authorize(t.Context(), mail("k"))
		if verdict.Allowed() || verdict.Reason != ReasonCircuitOpen || verdict.Source != SourceGuard || verdict.IdempotencyKey != "k" {
			t.Fatalf("%+v", verdict)
		}
	}
	if start := client.Begin(t.Context(), Verdict{Decision: Allow, DecisionID: testDecision}); start.Reason != ReasonCircuitOpen {
		t.Fatalf("%+v", start)
	}
	state := client.Circuit()
	if service.times() != 5 || state.State != "open" || state.ConsecutiveFailures != 5 || state.NextProbeIn < 20*time.Second || len(state.LastErrors) != 5 {
		t.Fatalf("%d %+v", service.times(), state)
	}
	if !strings.Contains(log.String(), "the circuit is open") {
		t.Errorf("the log is %q", log.String())
	}
}

func TestOneProbeFindsTheServiceAgain(t *testing.T) {
	service := serve(t)
	allow := service.authorize
	service.authorize = func(context.Context, *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		return nil, status.Error(codes.DataLoss, "gone")
	}
	client := open(t, service.url, func(o *Options) { o.Circuit = CircuitOptions{Failures: 1, ProbeAfter: 200 * time.Millisecond} })
	client.Authorize(t.Context(), mail("k"))
	if verdict := client.Authorize(t.Context(), mail("k")); verdict.Reason != ReasonCircuitOpen {
		t.Fatalf("%+v", verdict)
	}
	service.authorize = allow
	time.Sleep(250 * time.Millisecond)
	if verdict := client.Authorize(t.Context(), mail("k")); !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
	if state := client.Circuit().State; state != "recovering" {
		t.Fatalf("the circuit is %s", state)
	}
}

func TestTheHookGetsEachVerdictAndCannotChangeIt(t *testing.T) {
	service := serve(t)
	var log logged
	var heard []Verdict
	client := open(t, service.url, logTo(&log), func(o *Options) {
		o.OnVerdict = func(ctx context.Context, request Request, verdict Verdict) {
			if ctx.Err() != nil {
				t.Error("the hook got a context that had ended")
			}
			heard = append(heard, verdict)
			panic("secret of " + request.Tool)
		}
	})
	allowed := client.Authorize(t.Context(), mail("k"))
	denied := client.Authorize(t.Context(), Request{})
	if !allowed.Allowed() || denied.Allowed() || len(heard) != 2 || heard[0] != allowed || heard[1] != denied {
		t.Fatalf("%+v %+v %+v", allowed, denied, heard)
	}
	if !strings.Contains(log.String(), "OnVerdict panicked") || strings.Contains(log.String(), "secret") {
		t.Fatalf("the log is %q", log.String())
	}
}

func TestAPanicInsideIsADeny(t *testing.T) {
	service := serve(t)
	client := open(t, service.url, func(o *Options) { o.Traceparent = func(context.Context) string { panic("a bug of the caller's") } })
	verdict := client.Authorize(t.Context(), mail("k"))
	start := client.Begin(t.Context(), Verdict{Decision: Allow, DecisionID: testDecision})
	reported := client.Report(t.Context(), Start{State: Started, DecisionID: testDecision, ExecutionID: testDecision}, Report{Outcome: Succeeded})
	if verdict.Allowed() || verdict.Reason != ReasonRequestRefused || start.Started() || reported.Recorded {
		t.Fatalf("%+v %+v %+v", verdict, start, reported)
	}
	// The probe's place, or a call's, must not be lost with it.
	if client.Circuit().State != "closed" {
		t.Fatal("the circuit is not closed")
	}
}

func TestManyCallersShareOneClient(t *testing.T) {
	service := serve(t)
	client := open(t, service.url, timeout(30*time.Second))
	var all sync.WaitGroup
	for index := range 200 {
		all.Go(func() {
			key := "k" + hex.EncodeToString([]byte{byte(index)})
			if verdict := client.Authorize(t.Context(), mail(key)); !verdict.Allowed() || verdict.IdempotencyKey != key {
				t.Errorf("%+v", verdict)
			}
		})
	}
	all.Wait()
}

func TestCallsOverTheServersLimitWaitOnOneConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countingListener{Listener: listener}
	service := serveOn(t, counted, grpc.MaxConcurrentStreams(2))
	client := open(t, service.url, timeout(30*time.Second))
	client.Authorize(t.Context(), mail("first"))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if verdict := client.Authorize(t.Context(), mail("k")); !verdict.Allowed() {
				t.Errorf("%+v", verdict)
			}
		})
	}
	all.Wait()
	if accepted := counted.accepted.Load(); accepted != 1 {
		t.Fatalf("%d connections", accepted)
	}
}

type countingListener struct {
	net.Listener
	accepted atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return conn, err
}

func TestALargePayloadIsLargerThanAFlowControlWindow(t *testing.T) {
	service := serve(t)
	request := mail("k")
	request.Payload = map[string]any{"body": strings.Repeat("x", 250_000)}
	if verdict := open(t, service.url).Authorize(t.Context(), request); !verdict.Allowed() {
		t.Fatalf("%+v", verdict)
	}
}

func TestAClosedClientDenies(t *testing.T) {
	service := serve(t)
	client := open(t, service.url)
	client.Authorize(t.Context(), mail("k"))
	for range 2 {
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if verdict := client.Authorize(t.Context(), mail("k")); verdict.Allowed() || verdict.Reason != ReasonServiceUnavailable {
		t.Fatalf("%+v", verdict)
	}
	if service.times() != 1 {
		t.Fatal("a closed client asked")
	}
}

func TestErrorsAreFoundByTheirType(t *testing.T) {
	var err error = &DeniedError{"t", Verdict{Decision: Deny, Reason: ReasonRuleDenied, Message: "No."}}
	var denied *DeniedError
	if !errors.As(err, &denied) || err.Error() != "t is not allowed (deny, RULE_DENIED): No." {
		t.Fatal(err)
	}
}
