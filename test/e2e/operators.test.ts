import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { totpCode } from "../../src/authn/totp.ts";
import { call, cookieOf, reasonOf, signIn } from "../server/admin/admin-fixture.ts";
import { base32Decode } from "../support/base32.ts";
import { cli } from "../support/cli.ts";
import { ask, cleanEnv, demoKey, discard, runCli, type ServiceProcess, startService } from "../support/service.ts";

const PASSWORD = "correct horse battery";
const MAIN = join(import.meta.dirname, "../../src/main.ts");

/** Operators as they come: at a terminal, through the socket, over the network. */
describe("operators of a service", () => {
  let service: ServiceProcess;
  let env: Record<string, string>;
  beforeAll(async () => {
    service = await startService();
    env = { DATACRAWL_DATA_DIR: service.dataDir };
  });
  afterAll(() => discard(service));

  const run = (args: readonly string[], input?: string) => cli(args, env, input);
  const bypass = ["bypass", "set", "demo", "--all-tools", "--reason", "INC-1", "--json"];

  test("are added, listed, changed and removed over the socket", async () => {
    const add = (name: string, role: string): string[] => [
      "operator",
      "add",
      name,
      "--role",
      role,
      "--password-stdin",
      "--timeout",
      "1m",
    ];
    const added = runCli(add("alice", "operator"), env, `${PASSWORD}\n`);
    expect(added).toMatchObject({ status: 0, stdout: "Added alice as operator.\n" });
    expect((await run(add("vera", "viewer"), PASSWORD)).status).toBe(0);
    expect((await run(add("alice", "viewer"), PASSWORD)).stderr).toContain("An operator alice exists or existed");
    expect((await run(add("eve", "owner"), PASSWORD)).status).toBe(64);
    expect((await run(add("eve", "viewer"), "short")).stderr).toContain("password must have at least 12 characters");
    expect((await run(["operator", "set-role", "vera", "--role", "reviewer"])).status).toBe(0);
    expect((await run(["operator", "remove", "nobody"])).stderr).toContain("There is no operator");
    expect(JSON.parse((await run(["operator", "list", "--json"])).stdout)).toMatchObject([
      { name: "alice", role: "operator", totp: false },
      { name: "vera", role: "reviewer", totp: false },
    ]);
  });

  test("sign in at the terminal, which does not show the password", () => {
    const at = (dialogue: readonly (readonly [string, string])[]) => {
      const command = [process.execPath, MAIN, ...bypass, "--as", "alice"];
      const script = join(import.meta.dirname, "../support/terminal.py");
      return spawnSync("python3", [script, JSON.stringify(dialogue), ...command], {
        env: cleanEnv(env),
        encoding: "utf8",
        timeout: 60_000,
      });
    };
    const code = ["One-time code (Enter if the account has none): ", ""] as const;
    const right = at([["Password of alice: ", PASSWORD], code]);
    expect(right.status, right.stdout).toBe(0);
    expect(right.stdout).toContain('"operator": "operator:alice"');
    expect(right.stdout).not.toContain(PASSWORD);
    const wrong = at([["Password of alice: ", "not her password"], code]);
    expect([wrong.status, wrong.stdout]).toEqual([1, expect.stringContaining("[unauthenticated]")]);
  });

  test("set a bypass through the socket and over the network, each with a sign-in of its own", async () => {
    const as = ["--as", "alice", "--password-stdin"];
    const url = ["--admin-url", service.adminUrl];
    expect((await run([...bypass, ...as, ...url], PASSWORD)).status).toBe(0);
    const byVera = await run([...bypass, "--as", "vera", "--password-stdin"], PASSWORD);
    expect(byVera.stderr).toContain("needs the role operator");
    expect((await run(bypass)).stderr).toContain("needs a named operator");
    expect((await run(["bypass", "clear", "demo", "--reason", "over"])).status).toBe(0);
  });

  test("prove themselves with one-time codes too, each of which works once", async () => {
    const enabled = await run(["operator", "totp", "enable", "alice", "--json"]);
    const uri = new URL((JSON.parse(enabled.stdout) as { uri: string }).uri);
    const secret = base32Decode(uri.searchParams.get("secret") ?? "");
    const code = totpCode(secret, Math.floor(Date.now() / 30_000));
    const list = (...totp: string[]) => run(["agent", "list", "--as", "alice", "--password-stdin", ...totp], PASSWORD);
    expect((await list()).stderr).toContain("[unauthenticated]");
    const wrong = code === "000000" ? "000001" : "000000";
    expect((await list("--totp", wrong)).stderr).toContain("[unauthenticated]");
    expect((await list("--totp", code)).status).toBe(0);
    expect((await list("--totp", code)).stderr).toContain("[unauthenticated]");
    expect((await run(["operator", "totp", "disable", "alice"])).status).toBe(0);
  });

  test("are worth nothing on the agents' ports, nor agents on theirs", async () => {
    const cookie = cookieOf(await signIn(service.adminUrl, "alice"));
    const request = { tool: "gmail.send_email", payload: {}, idempotencyKey: "k" };
    const asOperator = await ask(service.connectUrl, "none", request, { cookie });
    expect([asOperator.status, asOperator.body["code"]]).toEqual([401, "unauthenticated"]);
    const token = cookie.split("=")[1] as string;
    expect((await ask(service.connectUrl, token, request)).status).toBe(401);
    for (const port of [service.connectUrl, `http://127.0.0.1:${service.grpcPort}`]) {
      const admin = await call(port, "AdminService/ListAgents", {}, { cookie }).catch(() => ({ status: 0 }));
      expect([0, 404, 415]).toContain(admin.status);
    }
    const authorization = `Bearer ${demoKey(service.dataDir)}`;
    const asAgent = await call(service.adminUrl, "AdminService/ListAgents", {}, { authorization });
    expect([asAgent.status, reasonOf(asAgent)]).toEqual([401, "CREDENTIAL_UNKNOWN"]);
    expect((await call(service.adminUrl, "AuthorizeService/Authorize", request, { authorization })).status).toBe(404);
  });
});
