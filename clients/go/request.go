package datacrawl

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/datacrawl/datacrawl/clients/go/internal/jcs"
)

// A Request is what an agent is about to do.
type Request struct {
	// Tool is the tool that the agent is about to call, such as gmail.send_email: 1 to 256 bytes of UTF-8 without NUL.
	Tool string
	// Payload is the tool's arguments: booleans, strings, numbers, and slices and maps of them; at most 256 KiB as JSON, nested at most
	// 32 deep. Integers lie within ±(2^53 - 1); send larger ones as strings. A nil payload is the empty object.
	Payload map[string]any
	// IdempotencyKey names this action: 1 to 256 bytes of UTF-8 without NUL. A retry uses the same key, another action another one. If it
	// is empty it is derived from agent, tool, payload and principal, so that two equal requests within 24 hours are one action.
	IdempotencyKey string
	// Principal is the person or service on whose behalf the agent acts, as it claims: at most 256 bytes without control characters.
	Principal string
	// SessionID is the run or conversation that the call belongs to, likewise. It does not make another request.
	SessionID string
}

const maxNameBytes = 256

// question is a request within the contract's limits.
type question struct {
	tool, key, principal, session string
	payload                       map[string]any
}

// readRequest copies the request, so that what is asked is what was read. Only a sidecar knows its agent's id: agentID may be empty then.
func readRequest(request Request, agentID string) (question, error) {
	q := question{tool: request.Tool, key: request.IdempotencyKey, principal: request.Principal, session: request.SessionID}
	if err := checkName("tool", q.tool); err != nil {
		return question{}, err
	}
	if q.key != "" {
		if err := checkName("idempotency key", q.key); err != nil {
			return question{}, err
		}
	}
	if err := checkClaim("principal", q.principal); err != nil {
		return question{}, err
	}
	if err := checkClaim("session id", q.session); err != nil {
		return question{}, err
	}
	var err error
	if q.payload, err = jcs.Object(request.Payload); err != nil {
		return question{}, err
	}
	canonical, err := jcs.Canonical(q.payload)
	if err != nil {
		return question{}, err
	}
	if q.key == "" {
		if agentID == "" {
			return question{}, errors.New("idempotency key must not be empty, unless the option AgentID names the agent: a key is derived from it")
		}
		q.key = derivedKey(agentID, canonical, q.principal, q.tool)
	}
	return q, nil
}

// derivedKey is sha256: and the hex SHA-256 of the RFC 8785 text of agent, payload, principal (where there is one) and tool.
func derivedKey(agentID, canonicalPayload, principal, tool string) string {
	sum := sha256.Sum256(hashedText(agentID, canonicalPayload, principal, tool))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// The names are in RFC 8785's order.
func hashedText(agentID, canonicalPayload, principal, tool string) []byte {
	text := jcs.AppendString([]byte(`{"agent":`), agentID)
	text = append(append(text, `,"payload":`...), canonicalPayload...)
	if principal != "" {
		text = jcs.AppendString(append(text, `,"principal":`...), principal)
	}
	return append(jcs.AppendString(append(text, `,"tool":`...), tool), '}')
}

func checkName(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s must not be empty", field)
	case len(name) > maxNameBytes:
		return fmt.Errorf("%s must be at most %d bytes, is %d", field, maxNameBytes, len(name))
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%s must not contain NUL", field)
	case !utf8.ValidString(name):
		return fmt.Errorf("%s must be valid UTF-8", field)
	}
	return nil
}

func checkClaim(field, claim string) error {
	switch {
	case len(claim) > maxNameBytes:
		return fmt.Errorf("%s must be at most %d bytes, is %d", field, maxNameBytes, len(claim))
	case !utf8.ValidString(claim):
		return fmt.Errorf("%s must be valid UTF-8", field)
	case strings.ContainsFunc(claim, unicode.IsControl):
		return fmt.Errorf("%s must not contain control characters", field)
	}
	return nil
}
