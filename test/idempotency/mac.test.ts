import { createHmac } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Mac } from "../../src/idempotency/mac.ts";

const parts = fc.array(
  fc.oneof(
    fc.string({ unit: "binary" }).filter((text) => text.isWellFormed()),
    fc.uint8Array({ maxLength: 3000 }),
  ),
  { maxLength: 4 },
);

test("is HMAC-SHA-256 over each part behind its length", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(parts, { minLength: 1, maxLength: 4 }), (key, messages) => {
      const mac = new Mac(key);
      for (const message of messages) {
        const expected = createHmac("sha256", key);
        for (const part of message) {
          const bytes = Buffer.from(part as string);
          const length = Buffer.alloc(4);
          length.writeUInt32BE(bytes.length);
          expected.update(length).update(bytes);
        }
        expect(mac.digest(...message)).toEqual(expected.digest());
      }
    }),
  );
});

test("a key longer than a block is refused", () => {
  expect(() => new Mac(new Uint8Array(65))).toThrow(RangeError);
});
