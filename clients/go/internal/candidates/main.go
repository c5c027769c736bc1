// Command candidates is a bare stub on one of the libraries that this client could have been built on, as a client under test. It acts
// only on DECISION_ALLOW, and checks nothing else (docs/clients/README.md has the figures).
//
//	datacrawl conformance run --client "candidates grpc-go"
//	datacrawl conformance run --client "candidates connect-go-grpc"
//	datacrawl conformance run --transport connect-proto --client "candidates connect-go"
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	authzv1 "github.com/datacrawl/datacrawl/clients/go/proto/datacrawl/authz/v1"
)

type question struct {
	Case, Tool, IdempotencyKey, URL, APIKey, CAFile string
	Payload                                         map[string]any
	DeadlineMs                                      int
}

type asker func(ctx context.Context, q question, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error)

func main() {
	ask := map[string]asker{"grpc-go": grpcGo(), "connect-go-grpc": connectGo(connect.WithGRPC()), "connect-go": connectGo()}[os.Args[1]]
	to := json.NewEncoder(os.Stdout)
	_ = to.Encode(map[string]bool{"ready": true})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			panic(err)
		}
		payload, _ := structpb.NewStruct(q.Payload)
		request := &authzv1.AuthorizeRequest{Tool: q.Tool, Payload: payload, IdempotencyKey: q.IdempotencyKey}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(q.DeadlineMs)*time.Millisecond)
		response, err := ask(ctx, q, request)
		cancel()
		decision := "deny"
		if err == nil && response.GetDecision() == authzv1.Decision_DECISION_ALLOW {
			decision = "allow"
		} else if err == nil && response.GetDecision() == authzv1.Decision_DECISION_NEEDS_REVIEW {
			decision = "needs_review"
		}
		_ = to.Encode(map[string]string{"case": q.Case, "decision": decision})
	}
}

func rootsOf(file string) *x509.CertPool {
	pem, _ := os.ReadFile(file)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots
}

func grpcGo() asker {
	connections := make(map[string]*grpc.ClientConn)
	return func(ctx context.Context, q question, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		if connections[q.URL] == nil {
			u, err := url.Parse(q.URL)
			if err != nil {
				return nil, err
			}
			secure := insecure.NewCredentials()
			if u.Scheme == "https" {
				secure = credentials.NewClientTLSFromCert(rootsOf(q.CAFile), "")
			}
			connections[q.URL], err = grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(secure), grpc.WithNoProxy())
			if err != nil {
				return nil, err
			}
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+q.APIKey)
		return authzv1.NewAuthorizeServiceClient(connections[q.URL]).Authorize(ctx, request)
	}
}

func connectGo(options ...connect.ClientOption) asker {
	clients := make(map[string]*connect.Client[authzv1.AuthorizeRequest, authzv1.AuthorizeResponse])
	return func(ctx context.Context, q question, request *authzv1.AuthorizeRequest) (*authzv1.AuthorizeResponse, error) {
		if clients[q.URL] == nil {
			h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: rootsOf(q.CAFile)}}}
			if len(options) > 0 {
				h.Transport = http2Transport(q)
			}
			clients[q.URL] = connect.NewClient[authzv1.AuthorizeRequest, authzv1.AuthorizeResponse](h, q.URL+"/datacrawl.authz.v1.AuthorizeService/Authorize", options...)
		}
		call := connect.NewRequest(request)
		call.Header().Set("Authorization", "Bearer "+q.APIKey)
		response, err := clients[q.URL].CallUnary(ctx, call)
		if err != nil {
			return nil, err
		}
		return response.Msg, nil
	}
}

func http2Transport(q question) http.RoundTripper {
	if u, _ := url.Parse(q.URL); u.Scheme == "https" {
		return &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: rootsOf(q.CAFile)}}
	}
	return &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
}
