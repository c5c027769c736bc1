// @module-tag full
import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CASES } from "@datacrawl/conformance/catalogue";
import { PATIENTLY, report } from "../../conformance/test/support/command.ts";
import { amount } from "../support/amount.ts";
import { chanceOf } from "../support/chance.ts";
import { freePort } from "../support/net.ts";
import { ownProcess } from "../support/owned.ts";
import { findPython } from "../support/python.ts";
import { addReviewer, approveAll, signInAs } from "../support/reviewers.ts";
import { cleanEnv, demoKey, discard, type ServiceProcess, startService, tempDir } from "../support/service.ts";
import { startSidecar } from "../support/sidecar.ts";

const CLIENT = join(import.meta.dirname, "../../clients/python");
const ADAPTER = join(CLIENT, "tests/conformance_adapter.py");

const python = findPython(
  "cryptography, google.protobuf, grpc, h2, hypothesis, opentelemetry.trace, pytest",
  "cryptography grpcio h2 hypothesis opentelemetry-api protobuf pytest",
);

/** The client that is installed, or that of the sources. */
const paths = process.env["TEST_PYTHON"] === undefined ? { PYTHONPATH: join(CLIENT, "src") } : undefined;

describe.skipIf(python === null)("the client for Python", () => {
  let service: ServiceProcess;
  let env: Record<string, string>;
  const done = new AbortController();
  let approving: Promise<void> = Promise.resolve();

  beforeAll(async () => {
    const adminPort = await freePort();
    service = await startService({ DATACRAWL_ADMIN_ADDR: `127.0.0.1:${adminPort}` });
    const key = demoKey(service.dataDir);
    await addReviewer("ann", cleanEnv({ DATACRAWL_DATA_DIR: service.dataDir }));
    approving = approveAll(await signInAs("ann", service.adminUrl), done.signal);
    const socket = join(tempDir(), "sidecar.sock");
    const [sidecar, , lonely] = await Promise.all([
      startSidecar(service.grpcPort, key),
      startSidecar(service.grpcPort, key, { DATACRAWL_SIDECAR_GRPC_ADDR: `unix:${socket}` }),
      startSidecar(await freePort(), key, { DATACRAWL_SIDECAR_CIRCUIT_FAILURES: "2" }),
    ]);
    env = {
      DATACRAWL_TEST_URL: `http://127.0.0.1:${service.grpcPort}`,
      DATACRAWL_TEST_KEY: key,
      DATACRAWL_TEST_SIDECAR: `http://127.0.0.1:${sidecar.grpcPort}`,
      DATACRAWL_TEST_SIDECAR_SOCKET: `unix:${socket}`,
      DATACRAWL_TEST_LONELY_SIDECAR: `http://127.0.0.1:${lonely.grpcPort}`,
    };
  });
  afterAll(async () => {
    done.abort();
    await approving;
    await discard(service);
  });

  test("passes its own tests against the real service and its sidecar", { timeout: 900_000 }, async () => {
    const args = ["-m", "pytest", "-q", "-p", "no:cacheprovider", CLIENT];
    const child = ownProcess(
      spawn(python as string, args, {
        cwd: CLIENT,
        env: cleanEnv({ ...env, ...paths }),
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    expect(code, out + err).toBe(0);
    const [, passed] = /(\d+) passed/.exec(out) ?? [];
    expect(Number(passed), out).toBeGreaterThan(550);
    expect(out).not.toMatch(/skipped|xfailed|deselected/);
  });

  const adapter = (...args: readonly string[]): string => {
    const source = paths === undefined ? "" : `PYTHONPATH=${paths.PYTHONPATH} `;
    return [`${source}${python}`, ADAPTER, ...args].join(" ");
  };
  const throughSidecar = `'${process.execPath}' test/clients/through-sidecar-adapter.ts`;

  /** A sample of the cases, the same in each run, with at least one of each family; all of them in `npm run test:full`. */
  const sample = (method: string): string[] => {
    const chance = chanceOf(`the kit for asyncio, ${method}`);
    const seen = new Set<string>();
    return CASES.filter((one) => one.method === method && one.transports.includes("grpc"))
      .filter(({ family }) => (!seen.has(family) && seen.add(family)) || chance.unit() < amount(0.1, 1))
      .map(({ name }) => name);
  };

  // What reads answers is the same code by threads and by asyncio, so asyncio has a sample. A sidecar reads them before the client does.
  // At once: a client waits most of the time, for servers that say nothing.
  test.concurrent.each([
    ["Authorize", "by threads, directly", 1852, () => adapter()],
    ["BeginExecution", "by threads, directly", 1331, () => adapter()],
  ])("is right in every case of %s, asked %s", { timeout: 900_000 }, async (method, _, cases, command) => {
    const { failures, passed } = await report(command(), "--transport", "grpc", "--method", method, ...PATIENTLY);
    expect(failures.map(({ case: name, problem }) => `${name}: ${problem}`)).toEqual([]);
    expect(passed).toBe(cases);
  });

  test.concurrent.each([
    ["Authorize", "by asyncio, directly", () => adapter("--async")],
    ["Authorize", "through a sidecar", () => `${throughSidecar} "${adapter()}"`],
    ["BeginExecution", "by asyncio, directly", () => adapter("--async")],
    ["BeginExecution", "through a sidecar", () => `${throughSidecar} "${adapter()}"`],
  ])("is right in a sample of the cases of %s, asked %s", { timeout: 900_000 }, async (method, _, command) => {
    const names = sample(method);
    const { failures, passed } = await report(
      command(),
      "--transport",
      "grpc",
      "--method",
      method,
      "--case",
      ...names,
      ...PATIENTLY,
    );
    expect(failures.map(({ case: name, problem }) => `${name}: ${problem}`)).toEqual([]);
    expect(passed).toBe(names.length);
  });
});
