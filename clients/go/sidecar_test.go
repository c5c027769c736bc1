package datacrawl

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
)

// asSidecar answers as a sidecar of the agent demo.
func asSidecar(service *fakeService, decision authzv1.Decision, reason authzv1.Reason, source authzv1.Source) {
	service.authorize = func(_ context.Context, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		answer := answerTo(request, decision, reason)
		answer.AgentId, answer.Source = "demo", source
		return answer, nil
	}
}

func TestASidecarOnAUnixSocketNeedsNoCredential(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dc.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	service := serveOn(t, listener)
	asSidecar(service, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_CIRCUIT_BYPASS, authzv1.Source_SOURCE_GUARD)
	client := open(t, "", func(o *Options) { o.APIKey, o.Sidecar = "", "unix:"+path })
	verdict := client.Authorize(t.Context(), mail("k"))
	if !verdict.Allowed() || verdict.Source != SourceGuard || verdict.Reason != ReasonCircuitBypass {
		t.Fatalf("%+v", verdict)
	}
	if sent := service.headers[0].Get("authorization"); len(sent) != 0 || service.asked[0].AgentId != "" {
		t.Fatalf("%v %q", sent, service.asked[0].AgentId)
	}
	if verdict := client.Authorize(t.Context(), mail("")); verdict.Allowed() || verdict.Code != CodeBadRequest {
		t.Fatalf("a key was derived without an agent: %+v", verdict)
	}
}

func TestASidecarsAnswersAreReadAsStrictly(t *testing.T) {
	service := serve(t)
	client := open(t, "", func(o *Options) { o.APIKey, o.Sidecar, o.AgentID = "", service.url, "demo" })
	for _, test := range []struct {
		decision authzv1.Decision
		reason   authzv1.Reason
		source   authzv1.Source
		want     Reason
	}{
		{authzv1.Decision_DECISION_DENY, authzv1.Reason_REASON_CIRCUIT_OPEN, authzv1.Source_SOURCE_GUARD, ReasonCircuitOpen},
		{authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_RULE_ALLOWED, authzv1.Source_SOURCE_SERVICE, ReasonRuleAllowed},
		{authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_RULE_ALLOWED, authzv1.Source_SOURCE_GUARD, ReasonMalformedResponse},
		{authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_CIRCUIT_BYPASS, authzv1.Source_SOURCE_SERVICE, ReasonMalformedResponse},
		{authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_CIRCUIT_OPEN, authzv1.Source_SOURCE_GUARD, ReasonMalformedResponse},
		{authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_RULE_ALLOWED, authzv1.Source_SOURCE_UNSPECIFIED, ReasonMalformedResponse},
	} {
		asSidecar(service, test.decision, test.reason, test.source)
		if verdict := client.Authorize(t.Context(), mail("k")); verdict.Reason != test.want {
			t.Errorf("%v: %+v", test, verdict)
		}
	}
	other := open(t, "", func(o *Options) { o.APIKey, o.Sidecar, o.AgentID = "", service.url, "other" })
	asSidecar(service, authzv1.Decision_DECISION_ALLOW, authzv1.Reason_REASON_RULE_ALLOWED, authzv1.Source_SOURCE_SERVICE)
	if verdict := other.Authorize(t.Context(), mail("k")); verdict.Allowed() {
		t.Errorf("an answer for another agent: %+v", verdict)
	}
}

func TestWhatASidecarSaysToBeUnavailableIsNotTriedAgain(t *testing.T) {
	service := serve(t)
	service.begin = func(context.Context, *authzv1.BeginExecutionRequest) (*authzv1.BeginExecutionResponse, error) {
		return nil, status.Error(codes.Unavailable, "the sidecar has tried three times")
	}
	client := open(t, "", func(o *Options) { o.APIKey, o.Sidecar = "", service.url })
	if start := client.Begin(t.Context(), allowed); start.Started() || start.Reason != ReasonServiceUnavailable {
		t.Fatalf("%+v", start)
	}
	if len(service.begun) != 1 {
		t.Fatalf("%d attempts", len(service.begun))
	}
}
