package datacrawl

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/datacrawl/datacrawl/clients/go/internal/circuit"
	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

func BenchmarkAuthorize(b *testing.B) {
	service := serve(b)
	client := open(b, service.url)
	for b.Loop() {
		if !client.Authorize(b.Context(), mail("k")).Allowed() {
			b.Fatal("denied")
		}
	}
}

// What a bare stub of grpc-go costs, which checks nothing.
func BenchmarkBareStub(b *testing.B) {
	service := serve(b)
	conn, err := grpc.NewClient(strings.TrimPrefix(service.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stub := authzv1.NewAuthorizeServiceClient(conn)
	payload, err := structpb.NewStruct(map[string]any{"to": []any{"ann@example.com"}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		_, err := stub.Authorize(ctx, &authzv1.AuthorizeRequest{Tool: "gmail.send_email", Payload: payload, IdempotencyKey: "k", Nonce: newNonce()})
		cancel()
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDenyWhileTheCircuitIsOpen(b *testing.B) {
	client := open(b, "http://127.0.0.1:1")
	for range 5 {
		client.breaker.Report(client.breaker.Permit(), circuit.Failure, "down")
	}
	for b.Loop() {
		if client.Authorize(b.Context(), mail("k")).Reason != ReasonCircuitOpen {
			b.Fatal("asked")
		}
	}
}
