package datacrawl

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const testKey = "dc_agent_demo_0123456789ab_" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
const testDecision = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab"

// fakeService answers as its functions say, over gRPC on loopback.
type fakeService struct {
	authzv1.UnimplementedAuthorizeServiceServer
	authorize func(context.Context, *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error)
	begin     func(context.Context, *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error)
	report    func(context.Context, *authzv1.ReportOutcomeRequest) (*authzv1.ReportOutcomeResponse, error)
	watch     func(*authzv1.WatchDecisionRequest, grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error

	url string

	mu       sync.Mutex
	asked    []*authzv1.AuthorizeRequest
	begun    []*authzv1.BeginExecutionRequest
	reported []*authzv1.ReportOutcomeRequest
	headers  []metadata.MD
}

func (s *fakeService) Authorize(ctx context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
	s.mu.Lock()
	s.asked = append(s.asked, request)
	headers, _ := metadata.FromIncomingContext(ctx)
	s.headers = append(s.headers, headers)
	s.mu.Unlock()
	return s.authorize(ctx, request)
}

func (s *fakeService) BeginExecution(ctx context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
	s.mu.Lock()
	s.begun = append(s.begun, request)
	s.mu.Unlock()
	return s.begin(ctx, request)
}

func (s *fakeService) ReportOutcome(ctx context.Context, request *authzv1.ReportOutcomeRequest) (*authzv1.ReportOutcomeResponse, error) {
	s.mu.Lock()
	s.reported = append(s.reported, request)
	s.mu.Unlock()
	return s.report(ctx, request)
}

func (s *fakeService) WatchDecision(request *authzv1.WatchDecisionRequest, stream grpc.ServerStreamingServer[authzv1.WatchDecisionResponse]) error {
	return s.watch(request, stream)
}

// times is how often Authorize was asked.
func (s *fakeService) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// serve starts a service that allows, starts and records everything, until a test says otherwise.
func serve(t testing.TB) *fakeService {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener)
}

func serveOn(t testing.TB, listener net.Listener, options ...grpc.ServerOption) *fakeService {
	t.Helper()
	service := &fakeService{url: "http://" + listener.Addr().String()}
	service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		return answerTo(request, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_RULE_ALLOWED), nil
	}
	service.begin = func(_ context.Context, request *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		return startTo(request), nil
	}
	service.report = func(_ context.Context, request *authzv1.ReportOutcomeRequest) (*authzv1.ReportOutcomeResponse, error) {
		return &authzv1.ReportOutcomeResponse{DecisionId: request.DecisionId, ExecutionId: request.ExecutionId, Outcome: request.Outcome, EndedAt: timestamppb.Now()}, nil
	}
	server := grpc.NewServer(options...)
	authzv1.RegisterAuthorizeServiceServer(server, service)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return service
}

func answerTo(request *authzv1.AuthorizeRequest, decision authzv1.Decision, reason authzv1.Reason) *authzv1.AuthorizeResponse {
	return &authzv1.AuthorizeResponse{
		Reason:         reason,
		Message:        "A rule says so.",
		DecisionId:     testDecision,
		PolicyVersion:  "sha256:" + strings.Repeat("0", 64),
		RuleId:         "mail",
		AgentId:        request.AgentId,
		Tool:           request.Tool,
		IdempotencyKey: request.IdempotencyKey,
		Nonce:          request.Nonce,
		Source:         authzv1.Source_SOURCE_SERVICE,
		DecidedAt:      timestamppb.New(time.Unix(1_700_000_000, 0)),
		Decision:       decision,
	}
}

func startTo(request *authzv1.BeginExecutionRequest) *authzv1.BeginExecutionResponse {
	return &authzv1.BeginExecutionResponse{
		Message:     "Run the tool.",
		DecisionId:  request.DecisionId,
		Nonce:       request.Nonce,
		AgentId:     "demo",
		ExecutionId: "0195e0b2-7a3b-7c1d-8a2b-00000000e0e0",
		StartedAt:   timestamppb.Now(),
		StartedBy:   "0123456789ab",
		ReportDueAt: timestamppb.New(time.Now().Add(time.Minute)),
		Source:      authzv1.Source_SOURCE_SERVICE,
		State:       authzv1.ExecutionState_EXECUTION_STATE_STARTED,
	}
}

// open makes a client of the URL, which is closed after the test. Then nothing of it is left.
func open(t testing.TB, url string, change ...func(*Options)) *Client {
	t.Helper()
	options := Options{URL: url, APIKey: testKey, Logger: quiet()}
	for _, one := range change {
		one(&options)
	}
	client, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	// Registered first, so that it runs when all clients of the test are closed.
	if _, again := looking.LoadOrStore(t, true); !again {
		t.Cleanup(func() { nothingLeft(t) })
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// looking has the tests at whose end nothing may be left.
var looking sync.Map

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// nothingLeft waits until no goroutine of the client's runs.
func nothingLeft(t testing.TB) {
	t.Helper()
	var stacks string
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		buffer := make([]byte, 1<<20)
		stacks = string(buffer[:runtime.Stack(buffer, true)])
		if !strings.Contains(stacks, "clients/go/internal/transport.") && !strings.Contains(stacks, "http2.(*clientConnReadLoop)") {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", stacks)
}

// logged collects what a client logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func logTo(l *logged) func(*Options) {
	return func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(l, nil)) }
}

func timeout(d time.Duration) func(*Options) { return func(o *Options) { o.Timeout = d } }

func mail(key string) Request {
	return Request{Tool: "gmail.send_email", Payload: map[string]any{"to": []string{"ann@example.com"}}, IdempotencyKey: key}
}
