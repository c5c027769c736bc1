import { describe, expect, test } from "vitest";
import { adapter, PATIENTLY, report } from "./support/command.ts";

const library = adapter("clients/typescript/test/conformance-adapter.ts");

/** A minute each, at the same time: deadlines have to pass, and retries to be waited for. */
describe("this library against every case", { tags: ["full"] }, () => {
  test.concurrent.each(["grpc", "connect-proto"])(
    "allows and denies rightly over %s, in time, and survives",
    { timeout: 600_000 },
    async (transport) => {
      const { failures, passed } = await report(library, "--transport", transport, ...PATIENTLY);
      expect(failures.map(({ case: name, problem }) => `${name}: ${problem}`)).toEqual([]);
      expect(passed).toBeGreaterThan(1500);
    },
  );

  test.concurrent.each(["grpc", "connect-proto"])(
    "starts what it is to start over %s, and nothing else",
    { timeout: 600_000 },
    async (transport) => {
      const { failures, passed } = await report(
        library,
        "--transport",
        transport,
        "--method",
        "BeginExecution",
        ...PATIENTLY,
      );
      expect(failures.map(({ case: name, problem }) => `${name}: ${problem}`)).toEqual([]);
      expect(passed).toBeGreaterThan(1000);
    },
  );
});
