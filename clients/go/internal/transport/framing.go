package transport

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

const prefixBytes = 5

// frame is flag 0, for nothing is compressed; the length; the message.
func frame(message []byte) []byte {
	framed := make([]byte, prefixBytes, prefixBytes+len(message))
	binary.BigEndian.PutUint32(framed[1:], uint32(len(message)))
	return append(framed, message...)
}

// reply is what came over HTTP, before anything of it means something.
type reply struct {
	httpStatus int
	headers    http.Header
	body       []byte
	// Empty if the reply ended without a trailer section of its own.
	trailers http.Header
}

// messages is gRPC by the strictest reading of its specification: HTTP 200, one content type of ours, one grpc-status in the place for
// it, and beside status 0 nothing but uncompressed frames, of which there is exactly one unless the method streams.
func (r reply) messages(streams bool) ([][]byte, *Failure) {
	if contentType, _ := only(r.headers, "Content-Type"); contentType != "application/grpc" && contentType != "application/grpc+proto" {
		return nil, r.foreign()
	}
	if r.httpStatus != http.StatusOK {
		return nil, NewMalformed(fmt.Sprintf("HTTP %d", r.httpStatus))
	}
	for _, coding := range r.headers["Grpc-Encoding"] {
		if coding != "identity" {
			return nil, NewMalformed("the answer is compressed")
		}
	}
	for _, length := range r.headers["Content-Length"] {
		if length != strconv.Itoa(len(r.body)) {
			return nil, NewMalformed("the answer's content-length is wrong")
		}
	}
	if !hasFields(r.trailers) {
		return nil, r.trailersOnly()
	}
	if len(r.headers["Grpc-Status"]) > 0 {
		return nil, NewMalformed("grpc-status is in the headers")
	}
	if failure := statusIn(r.trailers); failure != nil {
		return nil, failure
	}
	return framesIn(r.body, streams)
}

// trailersOnly reads headers that are trailers too: how gRPC sends a status without a message.
func (r reply) trailersOnly() *Failure {
	if len(r.body) > 0 {
		return NewMalformed("the answer has no trailers")
	}
	if failure := statusIn(r.headers); failure != nil {
		return failure
	}
	return NewMalformed("the answer has status OK and no message")
}

// foreign is for a reply that is HTTP and nothing of gRPC's. Gateways answer so while the service behind them is away.
func (r reply) foreign() *Failure {
	contentType, ok := only(r.headers, "Content-Type")
	if !ok {
		contentType = "missing"
	}
	problem := fmt.Sprintf("HTTP %d, content type %s", r.httpStatus, contentType)
	switch r.httpStatus {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fail(Unavailable, problem)
	default:
		return NewMalformed(problem)
	}
}

var statusNumber = regexp.MustCompile(`^(0|[1-9][0-9]?)$`)

// statusIn returns nil for OK.
func statusIn(fields http.Header) *Failure {
	text, ok := only(fields, "Grpc-Status")
	if !ok {
		return NewMalformed("grpc-status is missing or repeated")
	}
	number, err := strconv.Atoi(text)
	if err != nil || !statusNumber.MatchString(text) || number >= len(statusNames) {
		return NewMalformed(fmt.Sprintf("grpc-status is %q", Excerpt(text)))
	}
	if number == 0 {
		return nil
	}
	message, _ := only(fields, "Grpc-Message")
	if decoded, err := url.PathUnescape(message); err == nil {
		message = decoded
	}
	details, _ := only(fields, "Grpc-Status-Details-Bin")
	return FailureOfStatus(number, message, retryAfter(details))
}

// framesIn returns the messages of a body that is exactly a sequence of uncompressed frames.
func framesIn(body []byte, streams bool) ([][]byte, *Failure) {
	var messages [][]byte
	for len(body) > 0 {
		if len(body) < prefixBytes {
			return nil, NewMalformed("the answer is not a sequence of whole frames")
		}
		flag, length := body[0], binary.BigEndian.Uint32(body[1:])
		body = body[prefixBytes:]
		if uint64(length) > uint64(len(body)) {
			return nil, NewMalformed("the answer is not a sequence of whole frames")
		}
		if flag != 0 {
			return nil, NewMalformed(fmt.Sprintf("the answer's frame has flag %d", flag))
		}
		messages = append(messages, body[:length])
		body = body[length:]
	}
	if len(messages) == 0 {
		return nil, NewMalformed("the answer has no message")
	}
	if !streams && len(messages) > 1 {
		return nil, NewMalformed("the answer is not exactly one frame")
	}
	return messages, nil
}

// only is a field's value if there is exactly one.
func only(fields http.Header, name string) (string, bool) {
	if values := fields[name]; len(values) == 1 {
		return values[0], true
	}
	return "", false
}

// hasFields: net/http also lists trailers that were announced and did not come, without values.
func hasFields(fields http.Header) bool {
	for _, values := range fields {
		if len(values) > 0 {
			return true
		}
	}
	return false
}

// The longest wait that is passed on.
const maxRetryAfter = 24 * time.Hour

// retryAfter is how long the service asks its caller to wait; 0 if it does not say. It is a hint for people and schedulers: no decision
// depends on it, so what cannot be read counts as absent.
func retryAfter(base64Details string) time.Duration {
	bytes, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(base64Details, "="))
	var details status.Status
	if err != nil || len(bytes) == 0 || proto.Unmarshal(bytes, &details) != nil {
		return 0
	}
	for _, detail := range details.GetDetails() {
		var info errdetails.RetryInfo
		if detail.UnmarshalTo(&info) != nil {
			continue
		}
		delay := info.GetRetryDelay()
		seconds := float64(delay.GetSeconds()) + float64(delay.GetNanos())/1e9
		if seconds < 0 || seconds > maxRetryAfter.Seconds() {
			return 0
		}
		return time.Duration(math.Ceil(seconds*1000)) * time.Millisecond
	}
	return 0
}
