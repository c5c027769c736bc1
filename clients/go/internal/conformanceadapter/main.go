// Command conformanceadapter is this client as a client under test: lines of JSON in, lines of JSON out (docs/conformance.md).
//
//	datacrawl conformance run --client "go run ./internal/conformanceadapter"
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/datacrawl/datacrawl/clients/go"
)

type question struct {
	Case           string
	Method         string
	DecisionID     string
	Tool           string
	Payload        map[string]any
	IdempotencyKey string
	URL            string
	APIKey         string
	AgentID        string
	CAFile         string
	DeadlineMs     int
	// Sidecar is set by test/clients: the sidecar that asks the URL.
	Sidecar string
}

type answer struct {
	Case      string  `json:"case"`
	Decision  string  `json:"decision"`
	Reason    string  `json:"reason"`
	Message   string  `json:"message"`
	ElapsedMs float64 `json:"elapsedMs"`
}

func main() {
	clients := make(map[string]*datacrawl.Client)
	to := json.NewEncoder(os.Stdout)
	must(to.Encode(map[string]bool{"ready": true}))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var q question
		must(json.Unmarshal(lines.Bytes(), &q))
		address := q.Sidecar + q.URL
		if clients[address] == nil {
			clients[address] = clientFor(q)
		}
		startedAt := time.Now()
		a := ask(clients[address], q)
		a.Case, a.ElapsedMs = q.Case, float64(time.Since(startedAt))/float64(time.Millisecond)
		must(to.Encode(a))
	}
}

func clientFor(q question) *datacrawl.Client {
	pem, err := os.ReadFile(q.CAFile)
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	options := datacrawl.Options{
		URL:     q.URL,
		APIKey:  q.APIKey,
		RootCAs: roots,
		Timeout: time.Duration(q.DeadlineMs) * time.Millisecond,
		// The cases test how answers are read; an open circuit would read none.
		Circuit: datacrawl.CircuitOptions{Failures: 1_000_000},
	}
	if q.Sidecar != "" {
		options.URL, options.APIKey, options.Sidecar, options.AgentID = "", "", q.Sidecar, q.AgentID
	}
	client, err := datacrawl.New(options)
	must(err)
	return client
}

func ask(client *datacrawl.Client, q question) answer {
	ctx := context.Background()
	if q.Method != "BeginExecution" {
		verdict := client.Authorize(ctx, datacrawl.Request{Tool: q.Tool, Payload: q.Payload, IdempotencyKey: q.IdempotencyKey})
		a := answer{Decision: string(verdict.Decision), Reason: string(verdict.Reason), Message: verdict.Message}
		if verdict.Allowed() != (verdict.Decision == "allow") {
			a.Decision = "Allowed and Decision disagree"
		}
		return a
	}
	start := client.Begin(ctx, datacrawl.Verdict{Decision: datacrawl.Allow, DecisionID: q.DecisionID})
	switch {
	case start.Started():
		return answer{Decision: "allow", Reason: "STARTED", Message: start.Message}
	case start.State == datacrawl.AlreadyStarted:
		return answer{Decision: "deny", Reason: "ALREADY_STARTED", Message: start.Message}
	default:
		return answer{Decision: "deny", Reason: string(start.Reason), Message: start.Message}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
