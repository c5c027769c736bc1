package datacrawl_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/datacrawl/datacrawl/clients/go"
	"github.com/datacrawl/datacrawl/clients/go/datacrawltest"
	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
)

// The snippets of docs/clients/go.md and README.md stand in this file as they stand there, and run.

// notRun are snippets of other packages.
var notRun = []string{"propagation.TraceContext"}

func TestEachSnippetOfTheDocumentsIsInThisFile(t *testing.T) {
	source, err := os.ReadFile("docs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range []string{"../../docs/clients/go.md", "README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			found++
			isOther := false
			for _, name := range notRun {
				isOther = isOther || strings.Contains(match[1], name)
			}
			if snippet := real(match[1]); !isOther && !strings.Contains(flat(string(source)), flat(snippet)) {
				t.Errorf("%s has a snippet that is not in this file:\n%s", file, snippet)
			}
		}
	}
	if found < 12 {
		t.Fatalf("only %d snippets were found", found)
	}
}

// real has what stands for the addresses of a machine.
func real(snippet string) string {
	snippet = strings.ReplaceAll(snippet, `"unix:/run/datacrawl/agent.sock"`, "socket")
	return strings.ReplaceAll(snippet, `"127.0.0.1:7443"`, "sidecar")
}

// flat drops what gofmt adds: a snippet is indented otherwise inside a function.
func flat(text string) string {
	lines := strings.Split(text, "\n")
	for index := range lines {
		lines[index] = strings.TrimSpace(lines[index])
	}
	return strings.Join(lines, "\n")
}

func TestSnippetFirstCall(t *testing.T) {
	url, key, messageID, sent := live(t, "DATACRAWL_TEST_SERVICE"), live(t, "DATACRAWL_TEST_KEY"), key(t), 0
	sendEmail := func(map[string]any) { sent++ }
	first := func(ctx context.Context) error {
		client, err := datacrawl.New(datacrawl.Options{URL: url, APIKey: key})
		if err != nil {
			return err
		}
		defer client.Close()

		payload := map[string]any{"to": []string{"ann@example.com"}, "subject": "Hi"}
		verdict := client.Authorize(ctx, datacrawl.Request{Tool: "gmail.send_email", Payload: payload, IdempotencyKey: "send-" + messageID})
		if verdict.Allowed() {
			sendEmail(payload)
		}
		return nil
	}
	if err := first(t.Context()); err != nil || sent != 1 {
		t.Fatal(sent, err)
	}
}

func TestSnippetPayload(t *testing.T) {
	client, ctx := service(t), t.Context()
	verdict := client.Authorize(ctx, datacrawl.Request{Tool: "pay", Payload: map[string]any{"amount": int64(1 << 60)}})
	fmt.Println(verdict.Code, verdict.Message)
	// BAD_REQUEST Payload.amount is 1152921504606846976, which is not an integer that a double holds exactly (±9007199254740991); send it as a string.
	if said := fmt.Sprintln(verdict.Code, verdict.Message); said != "BAD_REQUEST Payload.amount is 1152921504606846976, which is not an integer that a double holds exactly (±9007199254740991); send it as a string.\n" {
		t.Fatal(said)
	}
}

func TestSnippetRetries(t *testing.T) {
	client, ctx, messageID := service(t), t.Context(), key(t)
	payload := map[string]any{"to": []string{"ann@example.com"}}
	request := datacrawl.Request{
		Tool:           "gmail.send_email",
		Payload:        payload,
		IdempotencyKey: "send-" + messageID,
		Principal:      "ann@example.com",
		SessionID:      "run-7",
	}
	first, again := client.Authorize(ctx, request), client.Authorize(ctx, request)
	fmt.Println(again.DecisionID == first.DecisionID, again.Replayed) // true true
	if again.DecisionID != first.DecisionID || !again.Replayed {
		t.Fatal(first, again)
	}
}

// Email is a payload of its own type.
type Email struct {
	ID string   `json:"id"`
	To []string `json:"to"`
}

func TestSnippetOnce(t *testing.T) {
	client, ctx, messageID := service(t), t.Context(), key(t)
	sendEmailTo := func(context.Context, Email) (string, error) { return "250 OK", nil }
	send := datacrawl.Protect(client, "gmail.send_email", func(ctx context.Context, email Email) (string, error) {
		return sendEmailTo(ctx, email)
	}, datacrawl.ProtectOptions[Email]{Key: func(email Email) string { return "send-" + email.ID }})

	receipt, err := send(ctx, Email{ID: messageID, To: []string{"ann@example.com"}})
	if err != nil || receipt != "250 OK" {
		t.Fatal(receipt, err)
	}
	email := Email{ID: messageID, To: []string{"ann@example.com"}}
	handled := func() error {
		var denied *datacrawl.DeniedError
		var started *datacrawl.AlreadyStartedError
		var notStarted *datacrawl.NotStartedError
		switch _, err := send(ctx, email); {
		case errors.As(err, &denied):
			fmt.Println("not allowed:", denied.Verdict.Reason)
		case errors.As(err, &started):
			fmt.Println("started before:", started.Start.StartedAt, started.Start.Outcome) // empty: nobody has reported
		case errors.As(err, &notStarted):
			fmt.Println("allowed, and not started:", notStarted.Start.Reason)
		case err != nil:
			return err // the action's own
		}
		return nil
	}
	if err := handled(); err != nil {
		t.Fatal(err)
	}
}

func TestSnippetByHand(t *testing.T) {
	client, ctx, sent := service(t), t.Context(), 0
	payload := map[string]any{"to": []string{"ann@example.com"}}
	sendEmail := func(map[string]any) { sent++ }
	verdict := client.Authorize(ctx, datacrawl.Request{Tool: "gmail.send_email", Payload: payload, IdempotencyKey: key(t)})
	for range 2 {
		if start := client.Begin(ctx, verdict); start.Started() {
			sendEmail(payload)
			client.Report(ctx, start, datacrawl.Report{Outcome: datacrawl.Succeeded})
		}
	}
	if sent != 1 {
		t.Fatal(sent)
	}
}

func TestSnippetDeadline(t *testing.T) {
	client, ctx, request := service(t), t.Context(), mailTo("ann@example.com", key(t))
	ctx, cancel := context.WithTimeout(ctx, 800*time.Millisecond)
	defer cancel()
	verdict := client.Authorize(ctx, request)
	if !verdict.Allowed() && verdict.Reason != datacrawl.ReasonDeadlineExceeded {
		t.Fatal(verdict)
	}
}

func TestSnippetReview(t *testing.T) {
	client, request := service(t), mailTo("eve@elsewhere.org", key(t))
	// Nobody will answer.
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	verdict := client.Authorize(ctx, request)
	if verdict.Decision == datacrawl.NeedsReview {
		waiting, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		verdict = client.WaitForReview(waiting, verdict.DecisionID)
	}
	if verdict.Decision != datacrawl.NeedsReview {
		t.Fatal(verdict)
	}
}

func TestSnippetSidecar(t *testing.T) {
	socket := live(t, "DATACRAWL_TEST_SIDECAR_SOCKET")
	client, err := datacrawl.New(datacrawl.Options{Sidecar: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if verdict := client.Authorize(t.Context(), mailTo("ann@example.com", key(t))); !verdict.Allowed() {
		t.Fatal(verdict)
	}
}

func TestSnippetFake(t *testing.T) {
	runAgent := func(client datacrawl.Authorizer) {
		send := datacrawl.Protect(client, "gmail.send_email", func(context.Context, map[string]any) (string, error) { return "", nil }, datacrawl.ProtectOptions[map[string]any]{})
		for _, amount := range []int{100, 101} {
			verdict := client.Authorize(t.Context(), datacrawl.Request{Tool: "stripe.refund", Payload: map[string]any{"amount": amount}})
			if verdict.Allowed() != (amount == 100) {
				t.Error(verdict)
			}
		}
		if _, err := send(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if verdict := client.Authorize(t.Context(), datacrawl.Request{Tool: "other"}); verdict.Allowed() {
			t.Error(verdict)
		}
	}
	fake := datacrawltest.New(map[string]datacrawltest.Answer{
		"gmail.send_email": datacrawltest.Always(datacrawl.Allow),
		"stripe.refund": func(payload map[string]any) datacrawl.Decision {
			if amount, ok := payload["amount"].(int); ok && amount <= 100 {
				return datacrawl.Allow
			}
			return datacrawl.Deny
		},
	})
	runAgent(fake) // takes a datacrawl.Authorizer, which the client and the fake both are
	fmt.Println(len(fake.Requests()), fake.Reports())
	if len(fake.Requests()) != 4 || len(fake.Reports()) != 1 || fake.Reports()[0].Outcome != datacrawl.Succeeded {
		t.Fatal(fake.Requests(), fake.Reports())
	}
}

func TestSnippetBareStub(t *testing.T) {
	sidecar, messageID, sent := live(t, "DATACRAWL_TEST_SIDECAR"), key(t), 0
	sendEmail := func() { sent++ }
	payload, err := structpb.NewStruct(map[string]any{"to": []any{"ann@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context) error {
		conn, err := grpc.NewClient(sidecar, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
		if err != nil {
			return err
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		response, err := authzv1.NewAuthorizeServiceClient(conn).Authorize(ctx, &authzv1.AuthorizeRequest{
			Tool: "gmail.send_email", Payload: payload, IdempotencyKey: "send-" + messageID,
		})
		if err == nil && response.GetDecision() == authzv1.Decision_DECISION_ALLOW {
			sendEmail()
		}
		return err
	}
	if err := ask(t.Context()); err != nil || sent != 1 {
		t.Fatal(sent, err)
	}
}
