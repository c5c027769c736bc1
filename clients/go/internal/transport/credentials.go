package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Credentials are where the proof of each attempt comes from: a key as it is, tokens and certificates as they are at that moment.
type Credentials struct {
	// Key is the agent's key; empty if there is none.
	Key string
	// Token returns the agent's JWT; nil if there is none. Called before each attempt.
	Token func(context.Context) (string, error)
	// Files of a client certificate; empty if there is none.
	CertFile, KeyFile string

	mu sync.Mutex
	// As the files said it last, and the same pointer as long as they say the same.
	certPEM, keyPEM []byte
	last            *tls.Certificate
}

// proof is what goes with one attempt.
type proof struct {
	authorization string
	certificate   *tls.Certificate
}

// IsToken: whether a header can hold it.
func IsToken(text string) bool {
	isVisible := func(r rune) bool { return r >= '!' && r <= '~' }
	return text != "" && len(text) <= 16384 && !strings.ContainsFunc(text, func(r rune) bool { return !isVisible(r) })
}

// read takes at most half of the call's time: an agent that gets no token in time must not look like a service that does not answer.
func (c *Credentials) read(ctx context.Context) (proof, *Failure) {
	if c.Token == nil && c.CertFile == "" {
		if c.Key == "" {
			return proof{}, nil // a sidecar's callers need none
		}
		return proof{authorization: "Bearer " + c.Key}, nil
	}
	half := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		half, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	type result struct {
		proof   proof
		problem error
	}
	done := make(chan result, 1)
	go func() {
		read, err := c.readNow(half)
		done <- result{read, err}
	}()
	select {
	case ended := <-done:
		if ended.problem != nil {
			return proof{}, fail(Unsent, ended.problem.Error())
		}
		return ended.proof, nil
	case <-half.Done():
		if stopped := Stopped(ctx); stopped != nil {
			return proof{}, stopped
		}
		return proof{}, fail(Unsent, "the token did not come in time")
	}
}

func (c *Credentials) readNow(ctx context.Context) (read proof, err error) {
	if c.CertFile != "" {
		if read.certificate, err = c.certificate(); err != nil {
			return proof{}, err
		}
	}
	if c.Key != "" {
		read.authorization = "Bearer " + c.Key
	}
	if c.Token != nil {
		token, err := c.token(ctx)
		if err != nil {
			return proof{}, err
		}
		read.authorization = "Bearer " + token
	}
	return read, nil
}

// token never says what the source said: its error may hold the token.
func (c *Credentials) token(ctx context.Context) (token string, err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			err = fmt.Errorf("the token cannot be had (panic of type %T)", recovered)
		}
	}()
	token, err = c.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("the token cannot be had (%T)", err)
	}
	token = strings.TrimSpace(token)
	if !IsToken(token) {
		return "", errors.New("the option Token, or DATACRAWL_TOKEN_FILE, gave no token: it must be up to 16384 visible characters of ASCII")
	}
	return token, nil
}

// certificate reads the files each time, because certificates are replaced while processes run. While they cannot be read, or do not
// belong together (one has been replaced and the other not yet), the last pair is used.
func (c *Credentials) certificate() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh, certPEM, keyPEM, err := readPair(c.CertFile, c.KeyFile)
	switch {
	case err != nil && c.last == nil:
		return nil, fmt.Errorf("the client certificate cannot be used (%T)", err)
	case err == nil && (!bytes.Equal(certPEM, c.certPEM) || !bytes.Equal(keyPEM, c.keyPEM)):
		c.last, c.certPEM, c.keyPEM = fresh, certPEM, keyPEM
	}
	return c.last, nil
}

func readPair(certFile, keyFile string) (pair *tls.Certificate, certPEM, keyPEM []byte, err error) {
	if certPEM, err = os.ReadFile(certFile); err != nil {
		return nil, nil, nil, err
	}
	if keyPEM, err = os.ReadFile(keyFile); err != nil {
		return nil, nil, nil, err
	}
	made, err := tls.X509KeyPair(certPEM, keyPEM)
	return &made, certPEM, keyPEM, err
}

// CheckPair says whether a certificate and its key can be used.
func CheckPair(certFile, keyFile string) error {
	_, _, _, err := readPair(certFile, keyFile)
	return err
}
