import { createHmac, randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it, test } from "vitest";
import { UsageError } from "../../src/core/fault.ts";
import { newWebhookSecret } from "../../src/keys/service-keys.ts";
import { readWebhookSecrets, signedHeaders } from "../../src/webhook/signature.ts";
import { tempDir } from "../support/service.ts";

const directory = tempDir();
afterAll(() => rmSync(directory, { recursive: true }));

function file(text: string): string {
  const path = join(directory, "webhook.secret");
  writeFileSync(path, text);
  return path;
}

test("signs as the Standard Webhooks specification's own example", () => {
  // From the specification's repository: the vector that its libraries test themselves with.
  const secret = Buffer.from("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64");
  const headers = signedHeaders([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}');
  expect(headers).toEqual({
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
});

test("signs with each secret while they change", () => {
  const secrets = [randomBytes(32), randomBytes(24)];
  const signatures = signedHeaders(secrets, "msg_1", 5, "ä")["webhook-signature"]?.split(" ");
  expect(signatures).toEqual(
    secrets.map((secret) => `v1,${createHmac("sha256", secret).update("msg_1.5.ä").digest("base64")}`),
  );
});

describe("a file of secrets", () => {
  const [one, two] = [randomBytes(32), randomBytes(64)];

  it.each([
    ["one", `${newWebhookSecret(one)}\n`, [one]],
    ["two, and white space", `  ${newWebhookSecret(one)}  \r\n\n${newWebhookSecret(two)}`, [one, two]],
  ])("has %s", async (_, text, secrets) => {
    expect(await readWebhookSecrets(file(text))).toEqual(secrets);
  });

  it.each([
    ["none", ""],
    ["three", `${newWebhookSecret(one)}\n`.repeat(3)],
    ["one that is too short", newWebhookSecret(randomBytes(23))],
    ["one that is too long", newWebhookSecret(randomBytes(65))],
    ["one without its prefix", one.toString("base64")],
    ["one in hex", `whsec_${one.toString("hex")}-`],
    ["one in base64url", `whsec_${Buffer.alloc(32, 0xff).toString("base64url")}`],
    ["one that is whole and one that is not", `${newWebhookSecret(one)}\nwhsec_x`],
  ])("is refused with %s, and not quoted", async (_, text) => {
    const error = await readWebhookSecrets(file(text)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).toContain("must have one or two lines");
    for (const line of text.split("\n")) if (line.length > 10) expect(String(error)).not.toContain(line.slice(6, 16));
  });

  it("is refused if it is not there, with what to do", async () => {
    await expect(readWebhookSecrets(join(directory, "none"))).rejects.toThrow("datacrawl keys init");
  });
});
