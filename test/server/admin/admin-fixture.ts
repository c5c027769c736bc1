import { scryptSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OperatorTokens } from "../../../src/admin/tokens.ts";
import { makeEvent } from "../../../src/audit/row/event.ts";
import { fetchJson } from "../../../src/authn/fetch-json.ts";
import { Jwks } from "../../../src/authn/jwks.ts";
import { JwtVerifier } from "../../../src/authn/jwt.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { loadConfig } from "../../../src/config.ts";
import type { Ingress } from "../../../src/server/admin/ingress.ts";
import { openAdminPort, openAdminSocket } from "../../../src/server/admin/listener.ts";
import { openAdmin } from "../../../src/server/admin/operations.ts";
import { type Admin, adminRpcs, turnedAway } from "../../../src/server/admin/service.ts";
import type { Listener } from "../../../src/server/listen.ts";
import { initKeys } from "../../../src/keys/service-keys.ts";
import { openSite } from "../../../src/server/http/site.ts";
import { openTrail } from "../../../src/server/lifecycle/trail.ts";
import { openRepositories } from "../../../src/server/repositories.ts";
import { loadTls } from "../../../src/server/tls.ts";
import { SqlOperatorStore } from "../../../src/store/operators.ts";
import { openStore, type Store } from "../../../src/store/open.ts";
import type { Issuer } from "../../support/issuer.ts";
import { certificateFiles, portOf } from "../open.ts";
import { makeMigratedDatabase } from "../../support/postgres.ts";
import { random } from "../../support/entries.ts";
import { query } from "../../support/sql.ts";
import { migratedEmbedded } from "../../support/embedded.ts";
import type { Role } from "../../../src/authn/role.ts";

export const PASSWORD = "correct horse battery";

/** AdminService and SessionService on a store of their own, behind both listeners, in this process. */
export interface AdminFixture {
  readonly store: Store;
  readonly admin: Admin;
  readonly url: string;
  readonly socketPath: string;
  /** The service's clock, for tests to move. Not the database's. */
  readonly clock: { ahead: number };
  readonly close: () => Promise<void>;
}

const SILENT = { onStart() {}, onEnd() {}, onFault() {}, onLateFault() {} };

export interface AdminFixtureOptions {
  readonly tls?: boolean;
  /** Whose tokens are taken, for the audience `datacrawl`. */
  readonly issuer?: Issuer;
  /** A server of Postgres to make the store in, instead of an embedded one. */
  readonly postgres?: string;
}

export async function openAdminFixture(
  options: AdminFixtureOptions = {},
): Promise<AdminFixture & { readonly ca: Buffer }> {
  const directory = mkdtempSync(join(tmpdir(), "datacrawl-admin-"));
  const config = loadConfig({ DATACRAWL_DATA_DIR: directory, ...(await postgresEnv(options)) }, process.cwd(), true);
  await initKeys(config.keysDir);
  if (options.postgres === undefined) await migratedEmbedded(directory);
  const store = await openStore(config, (error) => console.error("store:", error.message));
  const clock = { ahead: 0 };
  const now = (): number => systemClock.now() + clock.ahead;
  const tokens = options.issuer === undefined ? null : tokensOf(options.issuer, now);
  const repositories = openRepositories(store);
  const admin = openAdmin(store, repositories, await openTrail(config, repositories, now), now, { tokens });
  const certificate = certificateFiles();
  const tls = options.tls ? await loadTls(certificate) : null;
  const address = { kind: "tcp", host: "127.0.0.1", port: 0, variable: "TEST" } as const;
  const [network, socket] = [{ kind: "network", tls: tls !== null }, { kind: "socket" }] as const;
  const ports = (ingress: Ingress) => ({
    clock: systemClock,
    observer: SILENT,
    turnedAway: turnedAway(admin.trail, ingress),
  });
  const pages = await openSite(directory);
  const listeners: Listener[] = [
    await openAdminPort({ address, tls, rpcs: adminRpcs(admin, network), pages }, ports(network)),
    await openAdminSocket(config.adminSocket, adminRpcs(admin, socket), ports(socket)),
  ];
  return {
    store,
    admin,
    url: `${tls === null ? "http" : "https"}://127.0.0.1:${portOf(listeners[0] as Listener)}`,
    socketPath: config.adminSocket,
    clock,
    ca: readFileSync(certificate.certFile),
    close: async () => {
      await Promise.all(listeners.map((listener) => listener.close({ drainMs: 1000 })));
      await store.close();
      certificate.remove();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function postgresEnv({ postgres }: AdminFixtureOptions): Promise<Record<string, string>> {
  if (postgres === undefined) return {};
  const { ownerUrl, serviceUrl } = await makeMigratedDatabase(postgres);
  return { DATABASE_URL: serviceUrl, DATABASE_OWNER_URL: ownerUrl };
}

function tokensOf(issuer: Issuer, now: () => number): OperatorTokens {
  const onError = (error: unknown): void => console.error("issuer:", error);
  const monotonic = (): number => systemClock.monotonic();
  const jwks = new Jwks({ issuer: issuer.url, url: issuer.jwksUrl, fetchJson, monotonic, onError });
  const policy = { issuer: issuer.url, audience: "datacrawl", algorithms: ["ES256"] };
  return new OperatorTokens(new JwtVerifier(policy, jwks.find, now), { role: "datacrawl_role", name: "sub" });
}

export interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly headers: Headers;
}

/** One call over the port as JSON, such as `AdminService/ListAgents`. */
export async function call(
  url: string,
  method: string,
  request: object = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const response = await fetch(`${url}/datacrawl.authz.v1.${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(request),
  });
  const text = await response.text();
  const body = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : { text };
  return { status: response.status, body, headers: response.headers };
}

/** Why a call was refused: ErrorInfo's reason. */
export function reasonOf({ body }: Reply): string | undefined {
  const details = (body["details"] ?? []) as { type: string; debug?: { reason?: string } }[];
  return details.find(({ type }) => type === "google.rpc.ErrorInfo")?.debug?.reason;
}

/** The `cookie` header that a sign-in gives. */
export function cookieOf({ headers }: Reply): string {
  return (headers.getSetCookie()[0] ?? "").split(";")[0] ?? "";
}

export async function signIn(url: string, name: string, further: object = {}): Promise<Reply> {
  return await call(url, "SessionService/SignIn", { name, password: PASSWORD, ...further });
}

/** {@link PASSWORD} as it would be stored if a guess cost a hundredth: the service takes the cost from what is stored. */
const STORED_PASSWORD = ((N: number, salt: Buffer) =>
  `scrypt$${N}$8$1$${salt.toString("base64url")}$${scryptSync(PASSWORD, salt, 32, { N, r: 8, p: 1 }).toString("base64url")}`)(
  1024,
  Buffer.alloc(16, 7),
);

export async function addOperator({ store }: AdminFixture, name: string, role: Role): Promise<void> {
  const facts = { kind: "operator.added", actor: "test", subject: name, detail: { role } };
  const event = makeEvent(facts, systemClock.now(), random);
  await new SqlOperatorStore(store.database.kysely).create(name, role, STORED_PASSWORD, event);
}

export interface TrailEvent {
  readonly kind: string;
  readonly actor: string;
  readonly subject: string | null;
  readonly detail: Record<string, unknown>;
}

/** The trail's events, oldest first. */
export function eventsOf(fixture: AdminFixture): Promise<TrailEvent[]> {
  return readEvents(fixture, "ORDER BY event_id");
}

export async function newestEventOf(fixture: AdminFixture): Promise<TrailEvent | undefined> {
  return (await readEvents(fixture, "ORDER BY event_id DESC LIMIT 1"))[0];
}

async function readEvents({ store }: AdminFixture, order: string): Promise<TrailEvent[]> {
  const rows = await query<Omit<TrailEvent, "detail"> & { detail: string }>(
    store.database,
    `SELECT kind, actor, subject, detail FROM audit_events ${order}`,
  );
  return rows.map((row) => ({ ...row, detail: JSON.parse(row.detail) as Record<string, unknown> }));
}
