import {
  type Client,
  createClient,
  createRouterTransport,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { AdminService } from "../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { SessionService } from "../../gen/datacrawl/authz/v1/session_service_pb.ts";
import { type DataConfig, loadDataConfig } from "../config.ts";
import { isLoopback } from "../loopback.ts";
import { adminRpcs } from "../server/admin/service.ts";
import { systemClock } from "../clock.ts";
import { UsageError } from "../fault.ts";
import { openAdmin } from "../server/admin/operations.ts";
import { openTrail } from "../server/trail.ts";
import { openStore } from "../store/open.ts";
import type { Io } from "./io.ts";

/** Headers that prove who calls. Set by signing in. */
type Credential = Map<"authorization" | "cookie", string>;

/**
 * Runs `work` with AdminService: the one at `--admin-url`, or the running service's through its socket, or else on the store
 * itself. With `--as` a session of that operator is begun for it, and ended afterwards.
 *
 * @param needsService for what lasts: not on an embedded store itself, which no service could open meanwhile
 */
export async function withAdmin<Result>(
  io: Io,
  work: (admin: Client<typeof AdminService>) => Promise<Result>,
  needsService = false,
): Promise<Result> {
  const { as } = io.adminFlags();
  const credential: Credential = new Map();
  return await withTransport(io, credential, needsService, async (transport) => {
    const admin = createClient(AdminService, transport);
    if (as === undefined) return await work(admin);
    const sessions = createClient(SessionService, transport);
    await signIn(io, as, sessions, credential);
    try {
      return await work(admin);
    } finally {
      await sessions.signOut({});
    }
  });
}

async function signIn(
  io: Io,
  name: string,
  sessions: Client<typeof SessionService>,
  credential: Credential,
): Promise<void> {
  const { passwordStdin, totp } = io.adminFlags();
  const password = passwordStdin ? lineOf(await io.readInput()) : await io.askSecret(`Password of ${name}: `);
  const asked = passwordStdin ? "" : undefined;
  const totpCode = totp ?? asked ?? (await io.askSecret("One-time code (Enter if the account has none): "));
  const onHeader = (headers: Headers): void => {
    const [cookie] = headers.getSetCookie();
    if (cookie !== undefined) credential.set("cookie", cookie.split(";", 1)[0] ?? "");
  };
  await sessions.signIn({ name, password, totpCode }, { onHeader });
}

/** Input without the newline that ends it. */
export function lineOf(input: string): string {
  return input.replace(/\r?\n$/, "");
}

async function withTransport<Result>(
  io: Io,
  credential: Credential,
  needsService: boolean,
  work: (transport: Transport) => Promise<Result>,
): Promise<Result> {
  const authenticate: Interceptor = (next) => (request) => {
    for (const [name, value] of credential) request.header.set(name, value);
    return next(request);
  };
  const interceptors = [authenticate];
  const url = io.adminFlags().adminUrl ?? io.env["DATACRAWL_ADMIN_URL"];
  if (url) {
    const token = io.env["DATACRAWL_OPERATOR_TOKEN"];
    if (token && io.adminFlags().as === undefined) credential.set("authorization", `Bearer ${token}`);
    const nodeOptions = trusted(io.env["DATACRAWL_CA_FILE"]);
    return await work(
      createConnectTransport({ baseUrl: checkUrl(url), httpVersion: "1.1", nodeOptions, interceptors }),
    );
  }
  const config = loadDataConfig(io.env, io.cwd);
  if (await somebodyListens(config.adminSocket)) {
    const nodeOptions = { socketPath: config.adminSocket };
    return await work(
      createConnectTransport({ baseUrl: "http://admin.sock", httpVersion: "1.1", nodeOptions, interceptors }),
    );
  }
  if (needsService && config.databaseUrl === null) {
    throw new UsageError([`no service listens at ${config.adminSocket}: start it, or name one with --admin-url`]);
  }
  return await withOwnStore(config, io, interceptors, work);
}

/** Credentials go there. */
function checkUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    throw new UsageError(["the admin URL must be https://HOST:PORT, or http:// on this machine (--admin-url)"]);
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname.replace(/^\[|\]$/g, ""))) {
    throw new UsageError([`${url.origin} is another machine: the admin URL must be https:// (--admin-url)`]);
  }
  return url.href;
}

function trusted(caFile: string | undefined): { readonly ca?: Buffer } {
  if (!caFile) return {};
  try {
    return { ca: readFileSync(caFile) };
  } catch (error) {
    throw new UsageError([`DATACRAWL_CA_FILE cannot be read: ${(error as Error).message}`]);
  }
}

async function withOwnStore<Result>(
  config: DataConfig,
  io: Io,
  interceptors: Interceptor[],
  work: (transport: Transport) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(config, (error) => io.err(`datacrawl: ${error.message}\n`));
  try {
    const now = (): number => systemClock.now();
    const admin = openAdmin(store, await openTrail(config, store, now), now);
    const transport = createRouterTransport(
      (router) => {
        for (const rpc of adminRpcs(admin, { kind: "socket" })) {
          if ("handle" in rpc) router.rpc(rpc.method, (request, context) => rpc.handle(() => request, context));
          else router.rpc(rpc.method, (request, context) => rpc.stream(() => request, context));
        }
      },
      { transport: { interceptors } },
    );
    return await work(transport);
  } finally {
    await store.close();
  }
}

function somebodyListens(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
