import { describe, expect, it } from "vitest";
import { cli } from "../support/cli.ts";

describe("the --payload of datacrawl authorize and policy test-request", () => {
  const commands = [
    ["authorize", "--tool", "t"],
    ["policy", "test-request", "--agent", "a", "--tool", "t"],
  ];
  it.each([
    ['{"account": 9007199254740993}', "payload.account is the number 9007199254740993"],
    ['{"amount": 1e400}', "payload.amount is a number beyond the range of a double"],
    ['{"to": "ann", "to": "eve"}', "payload.to occurs twice"],
    ["[]", "must be a JSON object"],
    ["{", "payload is not JSON"],
  ])("%s is refused before anything is asked", async (payload, problem) => {
    for (const command of commands) {
      const { status, stdout, stderr } = await cli([...command, "--payload", payload]);
      expect({ status, stdout }).toEqual({ status: 64, stdout: "" });
      expect(stderr).toContain(problem);
    }
  });
});
