package datacrawl_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/datacrawl/datacrawl/clients/go"
	"github.com/datacrawl/datacrawl/clients/go/datacrawltest"
)

func ExampleProtect() {
	// In a program: client, err := datacrawl.New(datacrawl.Options{APIKey: key})
	client := datacrawltest.New(map[string]datacrawltest.Answer{"gmail.send_email": datacrawltest.Always(datacrawl.Allow)})

	type email struct {
		ID string   `json:"id"`
		To []string `json:"to"`
	}
	send := datacrawl.Protect(client, "gmail.send_email", func(_ context.Context, e email) (string, error) {
		return "sent to " + e.To[0], nil
	}, datacrawl.ProtectOptions[email]{Key: func(e email) string { return "send-" + e.ID }})

	for range 2 {
		receipt, err := send(context.Background(), email{ID: "7", To: []string{"ann@example.com"}})
		var started *datacrawl.AlreadyStartedError
		if errors.As(err, &started) {
			fmt.Println("it was sent before:", started.Start.Outcome)
			continue
		}
		fmt.Println(receipt, err)
	}
	// Output:
	// sent to ann@example.com <nil>
	// it was sent before: succeeded
}
