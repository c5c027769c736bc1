// Package datacrawl asks a DataCrawl service before an agent acts.
//
//	client, err := datacrawl.New(datacrawl.Options{URL: "https://authz.internal:7440", APIKey: key})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//
//	verdict := client.Authorize(ctx, datacrawl.Request{Tool: "gmail.send_email", Payload: payload, IdempotencyKey: "send-" + messageID})
//	if verdict.Allowed() {
//		sendEmail(payload)
//	}
//
// Authorize never panics and never outlives its deadline: every failure is a verdict that does not allow. [Protect] asks, starts the
// decision once, runs the action and reports how it ended.
//
// The guide is docs/clients/go.md. The package datacrawltest has a fake for tests.
package datacrawl
