package datacrawl

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"regexp"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/circuit"
	"github.com/datacrawl/datacrawl/clients/go/internal/transport"
	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// An Authorizer is what agents' code uses: a [Client], or the fake in the package datacrawltest.
type Authorizer interface {
	// Authorize asks whether the agent may call a tool with a payload. Act only if the verdict is [Verdict.Allowed].
	//
	// It never panics, and never outlives the context's deadline or Options.Timeout: every failure is a deny, with the reason in the verdict.
	// The payload is read once; act on the same values, or use [Protect].
	Authorize(ctx context.Context, request Request) Verdict
	// WaitForReview waits until people have decided a call that was answered [NeedsReview]; see [Client.WaitForReview].
	WaitForReview(ctx context.Context, decisionID string) Verdict
	// Begin starts an allowed decision, which is possible once. Run the tool only if the start is [Start.Started].
	//
	// It never panics and never outlives its deadline: whatever goes wrong is a start that was refused. Its attempts have one nonce, so a
	// start whose answer was lost is found again. The start is committed before it is answered: a process that dies afterwards leaves an
	// execution without an outcome.
	Begin(ctx context.Context, verdict Verdict) Start
	// Report records how an execution ended, once. The same report again is harmless; another one is not recorded.
	//
	// It never panics and never outlives its deadline. The circuit has no part in it.
	Report(ctx context.Context, execution Start, report Report) Reported
}

// A Client asks for one agent, and owns its connection and circuit. Make one for each agent in a process, and keep it. It is safe for
// concurrent use.
type Client struct {
	settings settings
	breaker  *circuit.Breaker
	calls    *transport.Transport
	// A connection of its own: calls that wait for people must not take the place of others.
	watches *transport.Transport
}

var _ Authorizer = (*Client)(nil)

// New checks the options and connects to nothing: the first call does. The error names every wrong option.
func New(options Options) (*Client, error) {
	read, err := readOptions(options, os.Getenv)
	if err != nil {
		return nil, err
	}
	base := time.Now()
	now := func() float64 { return float64(time.Since(base)) / float64(time.Millisecond) }
	return &Client{
		settings: read,
		breaker:  circuit.New(read.circuit, now, mathrand.Float64),
		calls:    transport.New(read.endpoint, read.credentials),
		watches:  transport.New(read.endpoint, read.credentials),
	}, nil
}

// Close breaks off what is under way and closes the connections. Every later verdict is a deny. It returns nil.
func (c *Client) Close() error {
	c.calls.Close()
	c.watches.Close()
	return nil
}

// A CircuitState is the circuit at one moment.
type CircuitState struct {
	// State is closed, open, half_open or recovering.
	State string
	// ConsecutiveFailures of this client.
	ConsecutiveFailures int
	// NextProbeIn is 0 unless the state is open.
	NextProbeIn time.Duration
	// LastErrors are the newest failures, newest first, at most 5.
	LastErrors []string
}

// Circuit is the state of this client's circuit now.
func (c *Client) Circuit() CircuitState {
	snapshot := c.breaker.Snapshot()
	return CircuitState{string(snapshot.State), snapshot.Failures, snapshot.NextProbeIn, snapshot.LastErrors}
}

// Authorize implements [Authorizer].
func (c *Client) Authorize(ctx context.Context, request Request) Verdict {
	verdict := c.authorize(ctx, request)
	c.hand(ctx, request, verdict)
	return verdict
}

func (c *Client) authorize(ctx context.Context, request Request) (verdict Verdict) {
	defer func() {
		if recovered := recover(); recovered != nil {
			verdict = c.bug(recovered)
		}
	}()
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	q, err := readRequest(request, c.settings.agentID)
	if err != nil {
		return c.deny(badRequest(sentence(err)), Verdict{})
	}
	about := Verdict{Tool: q.tool, IdempotencyKey: q.key}
	permit := c.breaker.Permit()
	if permit.Denied {
		return c.deny(circuitOpen(permit), about)
	}
	payload, err := structpb.NewStruct(q.payload)
	if err != nil {
		return c.deny(badRequest(sentence(err)), Verdict{})
	}
	failure := c.throughCircuit(ctx, permit, func(ctx context.Context) (failure *transport.Failure) {
		verdict, failure = c.ask(ctx, q, payload)
		return failure
	})
	if failure != nil {
		return c.deny(noAnswerOf(failure), about)
	}
	return verdict
}

// ask asks once, with a nonce of its own.
func (c *Client) ask(ctx context.Context, q question, payload *structpb.Struct) (Verdict, *transport.Failure) {
	nonce := newNonce()
	request := &authzv1.AuthorizeRequest{
		Tool:           q.tool,
		Payload:        payload,
		IdempotencyKey: q.key,
		AgentId:        c.settings.agentID,
		Nonce:          nonce,
		Principal:      optional(q.principal),
		SessionId:      optional(q.session),
	}
	messages, failure := c.call(ctx, "Authorize", request)
	if failure != nil {
		return Verdict{}, failure
	}
	want := c.expect(nonce)
	want.tool, want.key = q.tool, q.key
	return readAnswer(messages, want)
}

func (c *Client) call(ctx context.Context, method string, request proto.Message) ([][]byte, *transport.Failure) {
	message, err := proto.Marshal(request)
	if err != nil {
		return nil, &transport.Failure{Kind: transport.Refused, Problem: err.Error(), Code: transport.BadRequest}
	}
	return c.calls.Call(ctx, transport.RPC{Method: method, Message: message, Traceparent: c.traceparent(ctx)})
}

func (c *Client) expect(nonce []byte) expected {
	return expected{agentID: c.settings.agentID, nonce: nonce, sidecar: c.settings.sidecar}
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// bounded ends at the context's deadline or after the timeout, whichever is earlier.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.settings.timeout)
}

// deny is a verdict of this client's own.
func (c *Client) deny(why noAnswer, about Verdict) Verdict {
	about.Decision = decisionOf[why.reason]
	about.Reason, about.Message, about.Code, about.RetryAfter = why.reason, why.message, why.code, why.retryAfter
	about.Source, about.DecidedAt = SourceGuard, time.Now()
	if about.DecisionID == "" {
		about.DecisionID = newID()
	}
	return about
}

// bug is for a panic, which should not exist. What it says may hold parts of the payload.
func (c *Client) bug(recovered any) Verdict {
	c.settings.Logger.Error("datacrawl: the client panicked, and denied", "type", fmt.Sprintf("%T", recovered))
	return c.deny(badRequest("The client failed."), Verdict{})
}

// hand gives the verdict to the hook, which cannot change it.
func (c *Client) hand(ctx context.Context, request Request, verdict Verdict) {
	if c.settings.OnVerdict == nil {
		return
	}
	defer func() {
		if recovered := recover(); recovered != nil {
			c.settings.Logger.Error("datacrawl: OnVerdict panicked", "type", fmt.Sprintf("%T", recovered))
		}
	}()
	c.settings.OnVerdict(ctx, request, verdict)
}

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

func (c *Client) traceparent(ctx context.Context) string {
	if c.settings.Traceparent == nil {
		return ""
	}
	if given := c.settings.Traceparent(ctx); traceparent.MatchString(given) {
		return given
	}
	return ""
}

// sentence is an error of this package's as a sentence.
func sentence(err error) string {
	text := err.Error()
	return string(text[0]-'a'+'A') + text[1:] + "."
}
