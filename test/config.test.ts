import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig, loadDataConfig, VARIABLES } from "../src/config.ts";
import { UsageError } from "../src/core/fault.ts";

type Env = Readonly<Record<string, string>>;

const cwd = mkdtempSync(join(tmpdir(), "datacrawl-config-"));
const tls = { DATACRAWL_TLS_CERT_FILE: "cert.pem", DATACRAWL_TLS_KEY_FILE: "key.pem" };

function problemsOf(env: Env, hasPolicies = true): readonly string[] {
  try {
    loadConfig(env, cwd, hasPolicies);
    return [];
  } catch (error) {
    if (error instanceof UsageError) return error.problems;
    throw error;
  }
}

describe("without any variable", () => {
  test("everything is as the documentation says", () => {
    expect(loadConfig({}, cwd, true)).toEqual({
      dataDir: join(cwd, "data"),
      policyDir: join(cwd, "policies"),
      samplePolicies: false,
      keysDir: join(cwd, "data/keys"),
      checkpointDir: join(cwd, "data/checkpoints"),
      verifyAt: { pattern: "0 3 * * *", zone: "UTC" },
      reverifyDays: 30,
      adminSocket: join(cwd, "data/admin.sock"),
      grpc: { address: { kind: "tcp", host: "127.0.0.1", port: 7440, variable: "DATACRAWL_GRPC_ADDR" }, tls: null },
      connect: {
        address: { kind: "tcp", host: "127.0.0.1", port: 7441, variable: "DATACRAWL_CONNECT_ADDR" },
        tls: null,
      },
      admin: { address: { kind: "tcp", host: "127.0.0.1", port: 7442, variable: "DATACRAWL_ADMIN_ADDR" }, tls: null },
      oidc: null,
      agentJwt: null,
      agentCertificates: null,
      databaseUrl: null,
      databaseOwnerUrl: null,
      webhook: null,
      adminPublicUrl: null,
      redisUrl: null,
      allowedHosts: [],
      agentRate: 200,
      agentBurst: 400,
      executionMicros: 15 * 60_000_000,
      logLevel: "info",
    });
  });

  test("an empty one is as good as none", () => {
    const empty = Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, ""]));
    expect(loadConfig(empty, cwd, true)).toEqual(loadConfig({}, cwd, true));
  });

  test("allowed hosts are read without case, and refused with ports or other signs", () => {
    const load = (list: string) => loadConfig({ DATACRAWL_ALLOWED_HOSTS: list }, cwd, true).allowedHosts;
    expect(load("Authz.example.org, 10.0.0.1,fd00::1")).toEqual(["authz.example.org", "10.0.0.1", "fd00::1"]);
    for (const list of ["a:7441", "*.example.org", "a,", "http://a", "a b", "[::1]"])
      expect(() => load(list)).toThrow(/DATACRAWL_ALLOWED_HOSTS is ".*": it must be hosts without ports/);
  });

  test("checkpoints have no place of their own beside a database that others reach", () => {
    const postgres = { DATABASE_URL: "postgres://service@db/datacrawl" };
    expect(loadConfig(postgres, cwd, true).checkpointDir).toBeNull();
    expect(loadConfig({ ...postgres, DATACRAWL_CHECKPOINT_DIR: "shared" }, cwd, true).checkpointDir).toBe(
      join(cwd, "shared"),
    );
  });

  test("a schedule that is none is told", () => {
    expect(() => loadConfig({ DATACRAWL_AUDIT_VERIFY_AT: "every night" }, cwd, true)).toThrow(
      /DATACRAWL_AUDIT_VERIFY_AT is/,
    );
    expect(() => loadConfig({ DATACRAWL_AUDIT_VERIFY_ZONE: "Mars/Olympus" }, cwd, true)).toThrow(
      /DATACRAWL_AUDIT_VERIFY_ZONE/,
    );
    expect(loadConfig({ DATACRAWL_AUDIT_VERIFY_AT: "never" }, cwd, true).verifyAt).toBeNull();
  });

  test("it cannot be changed any more", () => {
    expect(Object.isFrozen(loadConfig({}, cwd, true))).toBe(true);
  });
});

describe("policies", () => {
  test("are the package's samples where there are none, for trying it out", () => {
    expect(loadConfig({}, cwd, false)).toMatchObject({ samplePolicies: true });
  });

  test("are not asked for by commands on the data", () => {
    const env = { DATABASE_URL: "postgres://service@db/x" };
    expect(loadDataConfig(env, cwd)).toMatchObject({ databaseUrl: env.DATABASE_URL });
    expect(() => loadDataConfig({ ...env, DATACRAWL_GRPC_ADDR: "nonsense" }, cwd)).toThrow("DATACRAWL_GRPC_ADDR");
  });

  test.each<[string, Env]>([
    ["with a database", { DATABASE_URL: "postgres://service@db/x" }],
    ["when a directory was named", { DATACRAWL_POLICY_DIR: "nowhere" }],
  ])("are never samples %s", (_, env) => {
    expect(problemsOf(env, false)).toEqual([expect.stringContaining("DATACRAWL_POLICY_DIR is ")]);
  });
});

describe("the issuer of agents' tokens", () => {
  const agents = { DATACRAWL_AGENT_JWT_ISSUER: "https://id.example", DATACRAWL_AGENT_JWT_AUDIENCE: "agents" };
  const operators = { DATACRAWL_OIDC_ISSUER: "https://id.example", DATACRAWL_OIDC_AUDIENCE: "operators" };

  test("may be the operators', with another audience and a claim of its own", () => {
    const { agentJwt, oidc } = loadConfig({ ...agents, ...operators, DATACRAWL_AGENT_JWT_CLAIM: "azp" }, cwd, true);
    expect(agentJwt).toEqual({
      issuer: "https://id.example",
      audience: "agents",
      claim: "azp",
      principalClaim: "",
      jwksUrl: null,
      algorithms: ["RS256", "ES256"],
    });
    expect(oidc).toMatchObject({ audience: "operators", nameClaim: "sub" });
  });

  test("must not issue the same tokens for operators", () => {
    const same = { ...agents, ...operators, DATACRAWL_OIDC_AUDIENCE: "agents" };
    expect(problemsOf(same)).toEqual([expect.stringContaining("must have different audiences")]);
    expect(problemsOf({ ...same, DATACRAWL_OIDC_ISSUER: "https://other.example" })).toEqual([]);
    expect(problemsOf({ DATACRAWL_AGENT_JWT_CLAIM: "azp", DATACRAWL_AGENT_JWT_ALGORITHMS: "HS256" })).toEqual([
      expect.stringContaining("DATACRAWL_AGENT_JWT_ALGORITHMS must be"),
      expect.stringContaining("DATACRAWL_AGENT_JWT_ISSUER is needed"),
      expect.stringContaining("DATACRAWL_AGENT_JWT_AUDIENCE is needed"),
    ]);
  });
});

describe("agents' certificates", () => {
  const tls = { DATACRAWL_TLS_CERT_FILE: "cert.pem", DATACRAWL_TLS_KEY_FILE: "key.pem" };
  const agents = { ...tls, DATACRAWL_AGENT_CA_FILE: "agents.pem", DATACRAWL_AGENT_SAN: "spiffe://x.org/agent/{agent}" };

  test("name agents by a URI or a host", () => {
    expect(loadConfig({ ...agents, DATACRAWL_POLICY_DIR: cwd }, "/etc/datacrawl", true).agentCertificates).toEqual({
      caFile: "/etc/datacrawl/agents.pem",
      name: "spiffe://x.org/agent/{agent}",
    });
    expect(problemsOf({ ...agents, DATACRAWL_AGENT_SAN: "{agent}.agents.x.org" })).toEqual([]);
  });

  test.each<[Env, string]>([
    [{ ...tls, DATACRAWL_AGENT_CA_FILE: "agents.pem" }, "go together"],
    [{ ...tls, DATACRAWL_AGENT_SAN: "{agent}.x.org" }, "go together"],
    [{ ...agents, DATACRAWL_TLS_CERT_FILE: "", DATACRAWL_TLS_KEY_FILE: "" }, "DATACRAWL_AGENT_CA_FILE needs TLS"],
    [{ ...agents, DATACRAWL_AGENT_SAN: "agents.x.org" }, 'is "agents.x.org": it must have {agent} in it, once'],
    [{ ...agents, DATACRAWL_AGENT_SAN: "{agent}.{agent}.org" }, "it must have {agent} in it, once"],
    [{ ...agents, DATACRAWL_AGENT_SAN: "*.{agent}.org" }, "it must be a URI, or a host name"],
  ])("are refused where they are half, or name nobody: %j", (env, problem) => {
    expect(problemsOf(env)).toEqual([expect.stringContaining(problem)]);
  });
});

describe("the issuer of operators' tokens", () => {
  const issuer = { DATACRAWL_OIDC_ISSUER: "https://id.example", DATACRAWL_OIDC_AUDIENCE: "datacrawl" };

  test("needs no more than its name and an audience", () => {
    expect(loadConfig(issuer, cwd, true).oidc).toEqual({
      issuer: "https://id.example",
      audience: "datacrawl",
      roleClaim: "datacrawl_role",
      nameClaim: "sub",
      jwksUrl: null,
      algorithms: ["RS256", "ES256"],
    });
    expect(problemsOf({ ...issuer, DATACRAWL_OIDC_ISSUER: "http://127.0.0.1:9000" })).toEqual([]);
  });

  test.each<[Env, string]>([
    [{ DATACRAWL_OIDC_AUDIENCE: "" }, "DATACRAWL_OIDC_AUDIENCE is needed"],
    [{ DATACRAWL_OIDC_ISSUER: "" }, "DATACRAWL_OIDC_ISSUER is needed"],
    [{ DATACRAWL_OIDC_ISSUER: "http://id.example" }, 'DATACRAWL_OIDC_ISSUER is "http://id.example": it must be a URL'],
    [{ DATACRAWL_OIDC_JWKS_URL: "id.example/keys" }, "DATACRAWL_OIDC_JWKS_URL is"],
    [{ DATACRAWL_OIDC_ALGORITHMS: "HS256" }, "DATACRAWL_OIDC_ALGORITHMS must be some of RS256"],
    [{ DATACRAWL_OIDC_ALGORITHMS: "ES256,none" }, "DATACRAWL_OIDC_ALGORITHMS must be"],
  ])("is refused where it would not be safe, or is half: %j", (env, problem) => {
    expect(problemsOf({ ...issuer, ...env })).toEqual([expect.stringContaining(problem)]);
  });
});

test("all problems are told at once, and what may hold a password is not repeated", () => {
  const env = {
    DATACRAWL_GRPC_ADDR: "7440",
    DATACRAWL_CONNECT_ADDR: "localhost:70000",
    DATABASE_URL: "mysql://root:hunter2@db/x",
    DATABASE_OWNER_URL: "hunter3",
    REDIS_URL: "redis://a:1,http://:hunter4@b:2",
    DATACRAWL_AGENT_RATE: "-1",
    DATACRAWL_AGENT_BURST: "1e3",
    DATACRAWL_LOG_LEVEL: "verbose",
    DATACRAWL_GRCP_ADDR: "hunter5",
    DATACRAWL_GRPC_TLS_CERT_FILE: "cert.pem",
    DATACRAWL_POLICY_DIR: "nowhere",
  };
  const problems = problemsOf(env, false);
  const named = [
    "DATACRAWL_GRPC_ADDR",
    "DATACRAWL_CONNECT_ADDR",
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "DATACRAWL_AGENT_RATE",
    "DATACRAWL_AGENT_BURST",
    "DATACRAWL_LOG_LEVEL",
    "DATACRAWL_GRCP_ADDR",
    "DATACRAWL_GRPC_TLS_CERT_FILE",
    "DATACRAWL_POLICY_DIR",
  ];
  for (const name of named)
    expect(
      problems.filter((problem) => problem.startsWith(name)),
      name,
    ).toHaveLength(1);
  expect(problems).toHaveLength(named.length);
  expect(problems.join("\n")).not.toContain("hunter");
});

describe("a listener", () => {
  const prefixes = ["DATACRAWL_GRPC", "DATACRAWL_CONNECT", "DATACRAWL_ADMIN"] as const;
  const open = ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "db.internal:1", "[::ffff:127.0.0.1]:1", "127.0.0.1.evil.test:1"];

  test.each(prefixes.flatMap((prefix) => open.map((address) => [prefix, address] as const)))(
    "that others can reach demands TLS: %s %s",
    (prefix, address) => {
      const env = { [`${prefix}_ADDR`]: address };
      expect(problemsOf(env)).toEqual([
        expect.stringContaining(`set ${prefix}_TLS_CERT_FILE and ${prefix}_TLS_KEY_FILE`),
      ]);
      expect(problemsOf({ ...env, ...tls })).toEqual([]);
      const own = { [`${prefix}_TLS_CERT_FILE`]: "cert.pem", [`${prefix}_TLS_KEY_FILE`]: "key.pem" };
      expect(problemsOf({ ...env, ...own })).toEqual([]);
    },
  );

  test.each(["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1"])(
    "of this machine alone needs none: %s",
    (address) => {
      expect(problemsOf({ DATACRAWL_GRPC_ADDR: address, DATACRAWL_CONNECT_ADDR: address })).toEqual([]);
    },
  );

  test.each([
    "7440",
    ":7440",
    "localhost",
    "localhost:",
    "::1:7440",
    "[::1]",
    "a b:1",
    "localhost:65536",
    "http://localhost:1",
  ])("is not %s", (address) => {
    const [problem] = problemsOf({ DATACRAWL_GRPC_ADDR: address });
    expect(problem).toContain(`DATACRAWL_GRPC_ADDR is "${address}": it must be HOST:PORT`);
  });

  test("takes its own certificate before the common one, and half a pair is no certificate", () => {
    const own = { DATACRAWL_GRPC_TLS_CERT_FILE: "g.pem", DATACRAWL_GRPC_TLS_KEY_FILE: "/keys/g.pem" };
    const config = loadConfig({ ...tls, ...own }, cwd, true);
    expect(config.grpc.tls).toEqual({
      certFile: join(cwd, "g.pem"),
      keyFile: "/keys/g.pem",
      certVariable: "DATACRAWL_GRPC_TLS_CERT_FILE",
      keyVariable: "DATACRAWL_GRPC_TLS_KEY_FILE",
    });
    expect(config.connect.tls).toEqual({
      certFile: join(cwd, "cert.pem"),
      keyFile: join(cwd, "key.pem"),
      certVariable: "DATACRAWL_TLS_CERT_FILE",
      keyVariable: "DATACRAWL_TLS_KEY_FILE",
    });
    expect(problemsOf({ DATACRAWL_TLS_KEY_FILE: "key.pem" })).toEqual(
      prefixes.map((prefix) => expect.stringContaining(prefix)),
    );
  });
});
