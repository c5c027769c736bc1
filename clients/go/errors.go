package datacrawl

import "fmt"

// A DeniedError is returned by a protected action that was not allowed. The action has not run.
type DeniedError struct {
	Tool    string
	Verdict Verdict
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("%s is not allowed (%s, %s): %s", e.Tool, e.Verdict.Decision, e.Verdict.Reason, e.Verdict.Message)
}

// An AlreadyStartedError is returned by a protected action that was started before, by this process or another one. It has not run
// again.
type AlreadyStartedError struct {
	Tool    string
	Verdict Verdict
	// Start says when and by which credential, and the outcome if it is known.
	Start Start
}

func (e *AlreadyStartedError) Error() string {
	outcome := "its outcome is not known"
	if e.Start.Outcome != "" {
		outcome = "its outcome: " + string(e.Start.Outcome)
	}
	return fmt.Sprintf("%s was started before (decision %s); %s", e.Tool, e.Start.DecisionID, outcome)
}

// A NotStartedError is returned by a protected action that was allowed and could not be started. It has not run.
type NotStartedError struct {
	Tool    string
	Verdict Verdict
	Start   Start
}

func (e *NotStartedError) Error() string {
	return fmt.Sprintf("%s could not be started (%s): %s", e.Tool, e.Start.Reason, e.Start.Message)
}
