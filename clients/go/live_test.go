package datacrawl_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datacrawl/datacrawl/clients/go"
)

// These tests ask a real service and a real sidecar, which test/clients/go.test.ts starts.

// live is an address that the environment names.
func live(t *testing.T, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	switch {
	case address != "":
		return address
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not set: run `npx vitest run test/clients/go.test.ts`", variable)
	default:
		t.Skipf("%s is not set: run `npx vitest run test/clients/go.test.ts`", variable)
	}
	return ""
}

func connect(t *testing.T, options datacrawl.Options) *datacrawl.Client {
	t.Helper()
	client, err := datacrawl.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func service(t *testing.T) *datacrawl.Client {
	return connect(t, datacrawl.Options{URL: live(t, "DATACRAWL_TEST_SERVICE"), APIKey: live(t, "DATACRAWL_TEST_KEY"), Timeout: 20 * time.Second})
}

var serial = struct {
	sync.Mutex
	next int
}{}

// key is one that no other test uses, in this run or another.
func key(t *testing.T) string {
	serial.Lock()
	defer serial.Unlock()
	serial.next++
	return fmt.Sprintf("%s-%d-%d", t.Name(), time.Now().UnixNano(), serial.next)
}

func mailTo(address, key string) datacrawl.Request {
	return datacrawl.Request{Tool: "gmail.send_email", Payload: map[string]any{"to": []string{address}, "subject": "Hi", "body": "Hello"}, IdempotencyKey: key}
}

func TestLiveVerdicts(t *testing.T) {
	client := service(t)
	for _, test := range []struct {
		request  datacrawl.Request
		decision datacrawl.Decision
	}{
		{mailTo("ann@example.com", key(t)), datacrawl.Allow},
		{mailTo("eve@elsewhere.org", key(t)), datacrawl.NeedsReview},
		{datacrawl.Request{Tool: "crm.export", IdempotencyKey: key(t)}, datacrawl.Deny},
		{datacrawl.Request{Tool: "unheard.of", IdempotencyKey: key(t), Principal: "ann@example.com", SessionID: "run-7"}, datacrawl.Deny},
	} {
		verdict := client.Authorize(t.Context(), test.request)
		if verdict.Decision != test.decision || verdict.Source != datacrawl.SourceService || verdict.Replayed {
			t.Errorf("%s: %+v", test.request.Tool, verdict)
		}
		again := client.Authorize(t.Context(), test.request)
		if again.DecisionID != verdict.DecisionID || !again.Replayed {
			t.Errorf("%s, again: %+v", test.request.Tool, again)
		}
	}
	other := connect(t, datacrawl.Options{
		URL:    live(t, "DATACRAWL_TEST_SERVICE"),
		APIKey: "dc_agent_demo_0123456789ab_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	})
	if verdict := other.Authorize(t.Context(), mailTo("ann@example.com", key(t))); verdict.Allowed() || verdict.Code != datacrawl.CodeBadCredential {
		t.Errorf("an unknown key: %+v", verdict)
	}
}

func TestLiveOneKeyIsOneDecision(t *testing.T) {
	client := service(t)
	request := mailTo("ann@example.com", key(t))
	first := client.Authorize(t.Context(), request)
	request.Payload["to"] = []string{"bob@example.com"}
	if verdict := client.Authorize(t.Context(), request); verdict.Allowed() || verdict.Reason != datacrawl.ReasonIdempotencyKeyReused {
		t.Errorf("%+v", verdict)
	}
	keyless := datacrawl.Request{Tool: "gmail.send_email", Payload: map[string]any{"to": []string{"ann@example.com"}, "subject": key(t)}}
	one, two := client.Authorize(t.Context(), keyless), client.Authorize(t.Context(), keyless)
	if one.DecisionID != two.DecisionID || one.DecisionID == first.DecisionID || !two.Replayed {
		t.Errorf("%+v %+v", one, two)
	}
}

// runsOnce protects an action with a client, and runs it with many callers at once.
func runsOnce(t *testing.T, client *datacrawl.Client) {
	t.Helper()
	name := key(t)
	var mu sync.Mutex
	runs, already := 0, 0
	send := datacrawl.Protect(client, "gmail.send_email", func(context.Context, map[string]any) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		runs++
		return "sent", nil
	}, datacrawl.ProtectOptions[map[string]any]{Key: func(map[string]any) string { return name }})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := send(t.Context(), map[string]any{"to": []string{"ann@example.com"}})
			var started *datacrawl.AlreadyStartedError
			mu.Lock()
			defer mu.Unlock()
			if errors.As(err, &started) {
				already++
			} else if err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	if runs != 1 || already != 7 {
		t.Fatalf("%d runs, and %d were started already", runs, already)
	}
	_, err := send(t.Context(), map[string]any{"to": []string{"ann@example.com"}})
	var started *datacrawl.AlreadyStartedError
	if !errors.As(err, &started) || started.Start.Outcome != datacrawl.Succeeded {
		t.Fatalf("%v", err)
	}
}

func TestLiveAnActionRunsOnce(t *testing.T) { runsOnce(t, service(t)) }

func TestLiveAReviewIsPending(t *testing.T) {
	client := service(t)
	verdict := client.Authorize(t.Context(), mailTo("eve@elsewhere.org", key(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if waited := client.WaitForReview(ctx, verdict.DecisionID); waited.Decision != datacrawl.NeedsReview || waited.DecisionID != verdict.DecisionID {
		t.Fatalf("%+v", waited)
	}
}

func TestLiveASidecarIsOneSettingAway(t *testing.T) {
	for _, variable := range []string{"DATACRAWL_TEST_SIDECAR", "DATACRAWL_TEST_SIDECAR_SOCKET"} {
		client := connect(t, datacrawl.Options{Sidecar: live(t, variable), Timeout: 20 * time.Second})
		verdict := client.Authorize(t.Context(), mailTo("ann@example.com", key(t)))
		if !verdict.Allowed() || verdict.Source != datacrawl.SourceService {
			t.Errorf("%s: %+v", variable, verdict)
		}
		runsOnce(t, client)
		pending := client.Authorize(t.Context(), mailTo("eve@elsewhere.org", key(t)))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if waited := client.WaitForReview(ctx, pending.DecisionID); waited.Decision != datacrawl.NeedsReview {
			t.Errorf("%s: %+v", variable, waited)
		}
		cancel()
	}
}

func TestLiveASidecarDecidesAloneWhileTheServiceIsDown(t *testing.T) {
	client := connect(t, datacrawl.Options{Sidecar: live(t, "DATACRAWL_TEST_SIDECAR_ALONE"), AgentID: "demo", Timeout: 20 * time.Second})
	for range 7 {
		verdict := client.Authorize(t.Context(), mailTo("ann@example.com", key(t)))
		if verdict.Allowed() || verdict.Source != datacrawl.SourceGuard {
			t.Fatalf("%+v", verdict)
		}
	}
	// The sidecar's circuit, of which this client's own knows nothing: the sidecar answers.
	if verdict := client.Authorize(t.Context(), mailTo("ann@example.com", key(t))); verdict.Reason != datacrawl.ReasonCircuitOpen {
		t.Fatalf("%+v", verdict)
	}
	if state := client.Circuit(); state.State != "closed" {
		t.Fatalf("%+v", state)
	}
}

const killedMail = "DATACRAWL_TEST_KILLED_MAIL"

// TestLiveMailOfAKilledAgent is the agent's process of [TestLiveAKilledAgentSendsNoSecondMail].
func TestLiveMailOfAKilledAgent(t *testing.T) {
	spec := strings.Split(os.Getenv(killedMail), "|")
	if len(spec) != 3 {
		return
	}
	name, mailbox, dies := spec[0], spec[1], spec[2]
	kill := func(moment string) {
		if moment == dies {
			itself, _ := os.FindProcess(os.Getpid())
			_ = itself.Kill()
			select {}
		}
	}
	send := datacrawl.Protect(service(t), "gmail.send_email", func(context.Context, map[string]any) (string, error) {
		kill("before")
		err := os.WriteFile(mailbox, []byte("mail\n"), 0o600)
		kill("after")
		return "sent", err
	}, datacrawl.ProtectOptions[map[string]any]{Key: func(map[string]any) string { return name }})
	_, err := send(t.Context(), map[string]any{"to": []string{"ann@example.com"}})
	var started *datacrawl.AlreadyStartedError
	if errors.As(err, &started) {
		fmt.Printf("started before, %q\n", started.Start.Outcome)
	} else {
		fmt.Println("ended with", err)
	}
}

func TestLiveAKilledAgentSendsNoSecondMail(t *testing.T) {
	live(t, "DATACRAWL_TEST_SERVICE")
	for _, test := range []struct {
		dies string
		sent bool
	}{{"before", false}, {"after", true}} {
		name, mailbox := key(t), filepath.Join(t.TempDir(), "mailbox")
		run := func(dies string) string {
			agent := exec.Command(os.Args[0], "-test.run=^TestLiveMailOfAKilledAgent$")
			agent.Env = append(os.Environ(), killedMail+"="+strings.Join([]string{name, mailbox, dies}, "|"))
			said, err := agent.Output()
			if err != nil {
				return err.Error()
			}
			return string(said)
		}
		sent := func() bool {
			_, err := os.Stat(mailbox)
			return err == nil
		}
		if said := run(test.dies); said != "signal: killed" || sent() != test.sent {
			t.Fatalf("killed %s: %s, sent: %v", test.dies, said, sent())
		}
		// A second mail would make the file again.
		_ = os.Remove(mailbox)
		for range 2 {
			if said := run("never"); !strings.HasPrefix(said, "started before, \"\"") || sent() {
				t.Errorf("again, after it was killed %s: %s, sent: %v", test.dies, said, sent())
			}
		}
	}
}
