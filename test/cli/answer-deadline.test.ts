import { Code, ConnectError, createClient, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { answerDeadline } from "../../src/cli/answer-deadline.ts";

const never = (): Promise<never> => new Promise(() => {});

function admin(service: Partial<ServiceImpl<typeof AdminService>>, timeoutMs = 50) {
  const interceptors = [answerDeadline("the service at /run/admin.sock", timeoutMs)];
  const transport = createRouterTransport((router) => void router.service(AdminService, service), {
    transport: { interceptors },
  });
  return createClient(AdminService, transport);
}

const problemOf = async (call: Promise<unknown>): Promise<ConnectError> =>
  ConnectError.from(
    await call.then(
      () => expect.unreachable(),
      (error: unknown) => error,
    ),
  );

describe("a call that is not answered", () => {
  test("ends with an error that names who did not answer, and the flag", async () => {
    const problem = await problemOf(admin({ listReviews: never }).listReviews({}));
    expect(problem.code).toBe(Code.Unavailable);
    expect(problem.rawMessage).toMatch(
      /^the service at \/run\/admin\.sock did not answer within 0\.05 s: .*--timeout\.$/,
    );
  });

  test("and that may have changed something says that this is unknown", async () => {
    const problem = await problemOf(admin({ freezeAgent: never }).freezeAgent({ agentId: "a", reason: "r" }));
    expect(problem.rawMessage).toContain("Whether the change was made is unknown");
  });

  test("is told apart from one that is refused", async () => {
    const refuse = (): never => {
      throw new ConnectError("there is no such agent", Code.NotFound);
    };
    const problem = await problemOf(admin({ freezeAgent: refuse }).freezeAgent({ agentId: "a", reason: "r" }));
    expect([problem.code, problem.rawMessage]).toEqual([Code.NotFound, "there is no such agent"]);
  });
});

describe("a stream", () => {
  test("lasts as long as something comes in time, and ends when nothing does", async () => {
    let sent = 0;
    async function* watchAdmin() {
      // Longer in all than one answer may take.
      for (; sent < 8; sent++) {
        yield { resumeToken: String(sent) };
        await sleep(150);
      }
      await never();
    }
    const seen: string[] = [];
    const follow = async (): Promise<void> => {
      for await (const { resumeToken } of admin({ watchAdmin }, 1000).watchAdmin({})) seen.push(resumeToken);
    };
    const problem = await problemOf(follow());
    expect([problem.code, seen]).toEqual([Code.Unavailable, ["0", "1", "2", "3", "4", "5", "6", "7"]]);
  });

  test("that never begins ends, too", async () => {
    async function* watchAdmin() {
      await never();
      yield {};
    }
    const follow = async (): Promise<void> => {
      for await (const _ of admin({ watchAdmin }).watchAdmin({})) expect.unreachable();
    };
    expect((await problemOf(follow())).code).toBe(Code.Unavailable);
  });

  test("that ends by itself, or is broken off by its reader, is no error", async () => {
    async function* watchAdmin() {
      yield { resumeToken: "1" };
      yield { resumeToken: "2" };
    }
    const seen: string[] = [];
    for await (const { resumeToken } of admin({ watchAdmin }).watchAdmin({})) seen.push(resumeToken);
    for await (const { resumeToken } of admin({ watchAdmin }).watchAdmin({})) {
      seen.push(resumeToken);
      break;
    }
    expect(seen).toEqual(["1", "2", "1"]);
  });
});
