import { createConnection } from "node:net";
import { resolve } from "node:path";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { SessionService } from "@datacrawl/proto/datacrawl/authz/v1/session_service_pb";
import { loadDataConfig } from "../config.ts";
import { UsageError } from "../core/fault.ts";
import { isLoopback } from "../core/loopback.ts";
import { readAuthorities } from "../core/pem.ts";
import { answerDeadline } from "./answer-deadline.ts";
import type { Io } from "./io.ts";

/** Headers that prove who calls. Set by signing in. */
type Credential = Map<"authorization" | "cookie", string>;

/** Who answers: a running service, or this process on the store, which nobody else serves. */
export type Answering = "service" | "store";

/** When guards have an order, for the person who gave it. */
export const GUARDS_HAVE_IT: Readonly<Record<Answering, string>> = {
  service: "Connected guards receive it within 10 s.\n",
  store: "Guards receive it within 10 s after a service starts.\n",
};

type Work<Result> = (admin: Client<typeof AdminService>, answering: Answering) => Promise<Result>;

/** How long signing out may take. A session that it does not end expires by itself. */
const SIGN_OUT_MS = 2000;

/**
 * Runs `work` with AdminService: the one at `--admin-url`, or the running service's through its socket, or else on the store
 * itself. With `--as` a session of that operator is begun for it, and ended afterwards. Each answer has a deadline.
 *
 * @param needsService for what lasts: not on an embedded store itself, which no service could open meanwhile
 */
export async function withAdmin<Result>(io: Io, work: Work<Result>, needsService = false): Promise<Result> {
  const { as } = io.adminFlags();
  const credential: Credential = new Map();
  return await withTransport(io, credential, needsService, async (transport, answering) => {
    const admin = createClient(AdminService, transport);
    if (as === undefined) return await work(admin, answering);
    const sessions = createClient(SessionService, transport);
    await signIn(io, as, sessions, credential);
    try {
      return await work(admin, answering);
    } finally {
      await sessions
        .signOut({}, { timeoutMs: SIGN_OUT_MS })
        .catch(() => io.err("The session could not be ended; it expires by itself.\n"));
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
  work: (transport: Transport, answering: Answering) => Promise<Result>,
): Promise<Result> {
  const { adminUrl, as, timeout } = io.adminFlags();
  const interceptorsFor = (who: string): Interceptor[] => [authenticate(credential), answerDeadline(who, timeout)];
  const url = adminUrl ?? io.env["DATACRAWL_ADMIN_URL"];
  if (url) {
    const token = io.env["DATACRAWL_OPERATOR_TOKEN"];
    if (token && as === undefined) credential.set("authorization", `Bearer ${token}`);
    const baseUrl = checkUrl(url);
    const nodeOptions = trusted(io);
    const interceptors = interceptorsFor(`the service at ${baseUrl.replace(/\/$/, "")}`);
    return await work(createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions, interceptors }), "service");
  }
  const config = loadDataConfig(io.env, io.cwd);
  const { adminSocket: socketPath } = config;
  if (await somebodyListens(socketPath)) {
    const interceptors = interceptorsFor(`the service at ${socketPath}`);
    const nodeOptions = { socketPath };
    const baseUrl = "http://admin.sock";
    return await work(createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions, interceptors }), "service");
  }
  if (needsService && config.databaseUrl === null) {
    throw new UsageError([`no service listens at ${socketPath}: start it, or name one with --admin-url`]);
  }
  io.err(`datacrawl: no service listens at ${socketPath}: opening the store directly\n`);
  // Loaded here alone: it is most of the service.
  const { withOwnStore } = await import("./own-store.ts");
  const onError = (error: Error): void => io.err(`datacrawl: ${error.message}\n`);
  const interceptors = interceptorsFor("the store");
  return await withOwnStore(config, onError, interceptors, (transport) => work(transport, "store"));
}

function authenticate(credential: Credential): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of credential) request.header.set(name, value);
    return next(request);
  };
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

function trusted({ env, cwd }: Io): { readonly ca?: string } {
  const path = env["DATACRAWL_CA_FILE"];
  return path ? { ca: readAuthorities("DATACRAWL_CA_FILE", resolve(cwd, path)) } : {};
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
