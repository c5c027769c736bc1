import { expect, test } from "vitest";
import { isLoopback } from "../../src/core/loopback.ts";

test("a host is loopback by its name or its number alone", () => {
  for (const host of ["localhost", "127.0.0.1", "127.255.255.254", "::1"]) expect(isLoopback(host)).toBe(true);
  for (const host of ["0.0.0.0", "::", "128.0.0.1", "localhost.evil.test", "127.0.0.1.evil.test", ""]) {
    expect(isLoopback(host)).toBe(false);
  }
});
