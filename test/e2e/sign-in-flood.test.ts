// @module-tag full
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addReviewer, REVIEWER_PASSWORD } from "../support/reviewers.ts";
import { discard, type ServiceProcess, startService } from "../support/service.ts";

interface Answer {
  readonly from: string;
  readonly status: number;
  readonly retryAfter: string | undefined;
}

describe("sixty sign-ins at once, from as many addresses", () => {
  let service: ServiceProcess;
  beforeAll(async () => {
    service = await startService();
    await addReviewer("ann", { DATACRAWL_DATA_DIR: service.dataDir });
  });
  afterAll(() => discard(service));

  const signIn = (from: string, name: string, password: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { port } = new URL(service.adminUrl);
      const path = "/datacrawl.authz.v1.SessionService/SignIn";
      // Whether anybody is late does not depend on how fast this machine is.
      const headers = { "content-type": "application/json", "connect-timeout-ms": "30000" };
      const options = { host: "127.0.0.1", port, path, method: "POST", localAddress: from, agent: false, headers };
      const request = httpRequest(options, (response) => {
        response.resume();
        response.on("end", () =>
          resolve({ from, status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"] }),
        );
      });
      request.on("error", reject);
      request.end(JSON.stringify({ name, password }));
    });

  test("are checked or refused with a time to come again, and the operator who has signed in from there before is let in", async () => {
    const HOME = "127.0.9.1";
    expect(await signIn(HOME, "ann", REVIEWER_PASSWORD)).toMatchObject({ status: 200 });
    const order: Answer[] = [];
    const note = async (answer: Promise<Answer>): Promise<void> => void order.push(await answer);
    const strangers = Array.from({ length: 60 }, (_, n) => note(signIn(`127.0.8.${n + 1}`, `guess-${n}`, "wrong")));
    await Promise.all([...strangers, note(signIn(HOME, "ann", REVIEWER_PASSWORD))]);
    const counts = Map.groupBy(order, ({ status }) => status);
    expect(new Set(counts.keys())).toEqual(new Set([200, 401, 429]));
    expect(counts.get(200)).toMatchObject([{ from: HOME }]);
    for (const { retryAfter } of counts.get(429) ?? []) expect(retryAfter).toBe("2");
  });
});
