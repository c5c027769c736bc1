import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { SessionService } from "@datacrawl/proto/datacrawl/authz/v1/session_service_pb";
import type { PageTokens } from "../../admin/page-tokens.ts";
import type { AccountOperations } from "../../admin/accounts.ts";
import type { AuditOperations } from "../../admin/audit.ts";
import type { BypassOperations } from "../../admin/bypass.ts";
import type { CallFacts, CallTrail } from "../../admin/call-trail.ts";
import { actorOf, type Caller } from "../../admin/caller.ts";
import type { CircuitOperations } from "../../admin/circuits.ts";
import type { DecisionSearch } from "../../admin/decision-search.ts";
import type { AdminOperations } from "../../admin/operations.ts";
import type { PolicyOperations } from "../../admin/policies.ts";
import type { ExecutionOperations } from "../../admin/executions.ts";
import type { ExportOperations } from "../../admin/export.ts";
import type { ProofOperations } from "../../admin/proofs.ts";
import type { RetentionOperations } from "../../admin/retention.ts";
import type { WatchPorts } from "../../admin/watch.ts";
import type { WebhookOperations } from "../../admin/webhooks.ts";
import type { VerificationOperations } from "../../admin/verification.ts";
import type { Micros } from "../../core/clock.ts";
import type { Recovery } from "../../admin/recovery.ts";
import type { ReviewOperations } from "../../admin/reviews.ts";
import { Fault, type FaultCode } from "../../core/fault.ts";
import type { Quota } from "../../core/quota.ts";
import { remoteAddressOf, type TurnedAway } from "../http/rpc.ts";
import { connectError } from "../codec/status.ts";
import { yieldUntil } from "../limits/streams.ts";
import { type AdminMethod, checkAccess, checkNotOneself } from "./access.ts";
import type { Trail } from "../lifecycle/trail.ts";
import { agentMethods } from "./agents.ts";
import { auditMethods } from "./audit.ts";
import { bypassMethods } from "./bypass.ts";
import { circuitMethods } from "./circuits.ts";
import { decisionMethods } from "./decisions.ts";
import { executionMethods } from "./executions.ts";
import { type Ingress, originOf, type Identities, identify } from "./ingress.ts";
import type { AdminMethods } from "./methods.ts";
import { operatorMethods } from "./operators.ts";
import { overviewMethods } from "./overview.ts";
import { policyMethods } from "./policies.ts";
import { proofMethods } from "./proofs.ts";
import { retentionMethods } from "./retention.ts";
import { type SessionMethods, sessionMethods } from "./sessions.ts";
import { refuseNul } from "./text.ts";
import { webhookMethods } from "./webhooks.ts";
import { reviewMethods } from "./reviews.ts";
import { verificationMethods } from "./verification.ts";

/** Everything that operators can do. */
export interface Admin extends Identities {
  readonly pages: PageTokens;
  readonly operations: AdminOperations;
  readonly search: DecisionSearch;
  readonly policies: PolicyOperations;
  readonly watches: WatchPorts;
  readonly bypass: BypassOperations;
  readonly circuits: CircuitOperations;
  readonly accounts: AccountOperations;
  readonly trail: CallTrail;
  readonly webhooks: WebhookOperations;
  /** Open ones, by who called. */
  readonly streams: Quota;
  readonly now: () => Micros;
  readonly audit: AuditOperations;
  readonly recovery: Recovery;
  readonly sealing: Trail;
  readonly reviews: ReviewOperations;
  readonly executions: ExecutionOperations;
  readonly verification: VerificationOperations;
  readonly proofs: ProofOperations;
  readonly exporting: ExportOperations;
  readonly retention: RetentionOperations;
}

/** A method and what answers it; rejects with ConnectErrors. The request is read when it is known who calls. */
export interface AdminUnary<M extends DescMethodUnary = DescMethodUnary> {
  readonly method: M;
  readonly handle: (
    read: () => MessageShape<M["input"]>,
    context: HandlerContext,
  ) => Promise<MessageInitShape<M["output"]>>;
}

/** The same for a method that answers with a stream, which ends with its context's signal. */
export interface AdminStream<M extends DescMethodServerStreaming = DescMethodServerStreaming> {
  readonly method: M;
  readonly stream: (
    read: () => MessageShape<M["input"]>,
    context: HandlerContext,
  ) => AsyncIterable<MessageInitShape<M["output"]>>;
}

export type AdminRpc = AdminUnary | AdminStream;

/** AdminService and SessionService as one ingress serves them. */
export function adminRpcs(admin: Admin, ingress: Ingress): AdminRpc[] {
  const methods: AdminMethods = {
    ...agentMethods(admin.operations, admin.bypass, admin.pages),
    ...bypassMethods(admin.bypass),
    ...circuitMethods(admin.circuits, admin.bypass, admin.pages),
    ...decisionMethods(admin.operations, admin.search, admin.policies, admin.executions),
    ...policyMethods(admin.policies, admin.pages),
    ...operatorMethods(admin.accounts, admin.pages),
    ...overviewMethods(admin.watches),
    ...auditMethods(admin.audit, admin.recovery, admin.sealing),
    ...webhookMethods(admin.webhooks, admin.pages),
    ...reviewMethods(admin.reviews),
    ...executionMethods(admin.executions),
    ...verificationMethods(admin.verification, admin.pages),
    ...proofMethods(admin.proofs),
    ...retentionMethods(admin.exporting, admin.retention),
  };
  const sessions = sessionMethods(admin, ingress);
  return [
    ...Object.values(AdminService.method).map((method) =>
      method.methodKind === "unary"
        ? operatorRpc(method, methods, admin, ingress)
        : operatorStream(method, methods, admin, ingress),
    ),
    ...Object.values(SessionService.method).map((method) => sessionRpc(method, sessions, admin, ingress)),
  ];
}

/** `identify → may they? → do`, for every method alike. */
function operatorRpc(method: DescMethodUnary, methods: AdminMethods, admin: Admin, ingress: Ingress): AdminUnary {
  const name = method.localName as UnaryMethod;
  return recorded(method, admin, ingress, async (read, context, note) => {
    const { caller, request } = await admit(method.localName as AdminMethod, admin, ingress, read, context, note);
    return await methods[name](request as never, { caller, actor: actorOf(caller), context });
  });
}

type StreamMethod = "watchAdmin" | "exportAudit";
type UnaryMethod = Exclude<AdminMethod, StreamMethod>;

/** How often a stream's caller is identified and authorized again. */
const RECHECK_MS = 5000;

/** INVARIANT: nothing is sent before the call is in the trail, nor after the caller has ceased to be allowed it. */
function operatorStream(
  method: DescMethodServerStreaming,
  methods: AdminMethods,
  admin: Admin,
  ingress: Ingress,
): AdminStream {
  const name = method.localName as StreamMethod;
  return {
    method,
    stream: async function* (read, context) {
      const over = new AbortController();
      const signal = AbortSignal.any([context.signal, over.signal]);
      const recheck = async (): Promise<void> =>
        checkAccess(name, await identify(context, ingress, admin, false), admin.now(), admin.recovery.isActive);
      try {
        const { caller, request } = await inTrail(method, admin, ingress, context, (note) => {
          return admit(name, admin, ingress, read, context, note);
        });
        const actor = actorOf(caller);
        signal.throwIfAborted();
        admin.streams.hold(actor);
        signal.addEventListener("abort", () => admin.streams.release(actor), { once: true });
        const timer = setInterval(() => void recheck().catch((error: unknown) => over.abort(error)), RECHECK_MS);
        signal.addEventListener("abort", () => clearInterval(timer), { once: true });
        const answers: AsyncIterable<MessageInitShape<DescMessage>> = methods[name](request as never, {
          caller,
          actor,
          context: { ...context, signal },
        });
        yield* yieldUntil(answers, signal);
      } catch (error) {
        throw connectError(Fault.from(error));
      } finally {
        over.abort();
      }
    },
  };
}

async function admit<Request extends object>(
  name: AdminMethod,
  admin: Admin,
  ingress: Ingress,
  read: () => Request,
  context: HandlerContext,
  note: Note,
): Promise<{ caller: Caller; request: Request }> {
  const caller = await identify(context, ingress, admin);
  note({ actor: actorOf(caller) });
  const request = read();
  note({ subject: subjectOf(request) });
  checkAccess(name, caller, admin.now(), admin.recovery.isActive);
  checkNotOneself(name, caller, agentOf(request));
  refuseNul(AdminService.method[name].input, request);
  return { caller, request };
}

/** For any caller: these methods identify it themselves. */
function sessionRpc(method: DescMethodUnary, methods: SessionMethods, admin: Admin, ingress: Ingress): AdminUnary {
  const name = method.localName as keyof SessionMethods;
  return recorded(method, admin, ingress, async (read, context, note) => {
    const request = read();
    refuseNul(method.input, request);
    return await methods[name](request as never, { context, note });
  });
}

type Note = (facts: Partial<Pick<CallFacts, "actor" | "subject">>) => void;
type Work<M extends DescMethodUnary> = (
  read: () => MessageShape<M["input"]>,
  context: HandlerContext,
  note: Note,
) => Promise<MessageInitShape<M["output"]>>;

function recorded<M extends DescMethodUnary>(method: M, admin: Admin, ingress: Ingress, work: Work<M>): AdminUnary<M> {
  return {
    method,
    handle: async (read, context) => {
      try {
        return await inTrail(method, admin, ingress, context, (note) => work(read, context, note));
      } catch (error) {
        throw connectError(Fault.from(error));
      }
    },
  };
}

/** INVARIANT: whatever comes of the call, it is in the trail before it is answered, or it fails. */
async function inTrail<Result>(
  method: DescMethod,
  admin: Admin,
  ingress: Ingress,
  context: HandlerContext,
  work: (note: Note) => Promise<Result>,
): Promise<Result> {
  const name = nameOf(method);
  let facts: Omit<CallFacts, "outcome"> = {
    method: name,
    from: originOf(remoteAddressOf(context), ingress),
    actor: null,
    subject: null,
  };
  const [result] = await Promise.allSettled([work((more) => (facts = { ...facts, ...more }))]);
  const outcome = result.status === "fulfilled" ? "ok" : Fault.from(result.reason).code;
  await admin.trail.record({ ...facts, outcome });
  if (result.status === "fulfilled") return result.value;
  throw result.reason;
}

function nameOf(method: DescMethod): string {
  return `${method.parent.name}.${method.name}`;
}

/** Puts requests into the trail that were no calls. Who sent them is not asked: they have not come to where that matters. */
export function turnedAway(trail: CallTrail, ingress: Ingress): (request: TurnedAway) => Promise<void> {
  return async ({ method, path, remoteAddress, httpStatus, code }) => {
    const called = method === null ? { method: "unknown", subject: path } : { method: nameOf(method), subject: null };
    const outcome = code ?? OUTCOME_OF_STATUS.get(httpStatus) ?? "REQUEST_MALFORMED";
    await trail.record({ ...called, from: originOf(remoteAddress, ingress), actor: null, outcome });
  };
}

const OUTCOME_OF_STATUS: ReadonlyMap<number, FaultCode> = new Map([
  [404, "METHOD_NOT_SERVED"],
  [405, "METHOD_NOT_SERVED"],
  [415, "ENCODING_UNSUPPORTED"],
]);

/** What a request is about: the first of its ids. */
const SUBJECTS = ["agentId", "decisionId", "reviewId", "webhookId", "name"] as const;

function subjectOf(request: object): string | null {
  const fields = request as Readonly<Record<string, unknown>>;
  const subject = SUBJECTS.map((field) => fields[field]).find((value) => typeof value === "string" && value !== "");
  return typeof subject === "string" ? subject : null;
}

function agentOf(request: object): string | null {
  const { agentId } = request as { readonly agentId?: unknown };
  return typeof agentId === "string" && agentId !== "" ? agentId : null;
}
