import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { deriveDigestKeys, digestRedacted, digestRequest } from "../../src/idempotency/key.ts";

const key = randomBytes(32);
const keys = deriveDigestKeys(key);

test("a redacted value's digest is keyed, the agent's own, and of no use elsewhere", () => {
  const digest = digestRedacted(keys, "billing-1", '"4111"');
  // As docs/policies.md has it: anyone who holds the key can look whether a value is the one.
  const derived = Buffer.from(hkdfSync("sha256", key, "", "datacrawl.redaction.v1", 32));
  const parts = ["billing-1", '"4111"'].map((part) => Buffer.from(`\0\0\0${String.fromCharCode(part.length)}${part}`));
  const full = createHmac("sha256", derived).update(Buffer.concat(parts)).digest("hex");
  expect(digest).toBe(`hmac-sha256-128:${full.slice(0, 32)}`);

  expect(digestRedacted(keys, "billing-1", '"4111"')).toBe(digest);
  expect(digestRedacted(keys, "billing-2", '"4111"')).not.toBe(digest);
  expect(digestRedacted(keys, "billing-1", "4111")).not.toBe(digest);
  expect(digestRedacted(deriveDigestKeys(randomBytes(32)), "billing-1", '"4111"')).not.toBe(digest);
  expect(digestRequest(keys, "billing-1", "", '"4111"').toString("hex")).not.toContain(digest.slice(16));
});
