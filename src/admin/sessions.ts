import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import { hashSecret } from "../core/credential.ts";
import type { Passwords, Turn } from "../authn/password.ts";
import type { SignInLimit } from "../authn/sign-in-limit.ts";
import { matchTotp, type TotpSeal } from "../authn/totp.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import { OPERATOR_NAME } from "../core/names.ts";
import type { Caller } from "./caller.ts";
import type { StoredSession, SqlSessionStore } from "../store/sessions.ts";

/** A session ends so long after its last use, … */
export const SESSION_IDLE: Micros = 30 * 60 * 1_000_000;
/** … and so long after it began. */
export const SESSION_LIFETIME: Micros = 12 * 60 * 60 * 1_000_000;

const TOKEN = /^[\w-]{43}$/;

export interface SessionPorts {
  readonly sessions: SqlSessionStore;
  readonly passwords: Passwords;
  readonly totpSeal: TotpSeal;
  readonly limit: SignInLimit;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

export interface SignIn {
  readonly name: string;
  readonly password: string;
  /** Empty if none was given. */
  readonly totpCode: string;
  /** An IP address, or how else the caller came. */
  readonly from: string;
  /** The token of a session that this one replaces. */
  readonly replaces: string | null;
  /** Aborted when the caller goes away, or its deadline passes. */
  readonly signal?: AbortSignal;
}

/** An operator whose sign-in or token has been verified. */
export type Named = Extract<Caller, { kind: "operator" }>;

/** Sessions of operators with local accounts. They are in the store, so that they hold on every replica. */
export class Sessions {
  readonly #ports: SessionPorts;

  constructor(ports: SessionPorts) {
    this.#ports = ports;
  }

  /** @throws Fault SIGN_IN_FAILED, which does not say why; SIGN_IN_LIMITED; QUEUE_FULL; CANCELED */
  async signIn(request: SignIn): Promise<{ caller: Named; token: string }> {
    const attempt = this.#ports.limit.begin(claimedName(request.name), request.from);
    try {
      const turn: Turn = { who: attempt.familiar ? "familiar" : "stranger", signal: request.signal };
      const signedIn = await this.#verifyAndStart(request, turn);
      attempt.succeeded();
      return signedIn;
    } catch (error) {
      if (!(error instanceof Fault && error.code === "SIGN_IN_FAILED")) attempt.abandoned();
      throw error;
    }
  }

  /** @param isUse whether this call counts as use, which prolongs the session @throws Fault SESSION_ENDED */
  async verify(token: string, isUse = true): Promise<Named> {
    const known = TOKEN.test(token) ? hashSecret(token) : null;
    const session =
      known === null ? null : await this.#ports.sessions.use(known, SESSION_IDLE, SESSION_LIFETIME, isUse);
    if (session === null) throw new Fault("SESSION_ENDED", "The session has ended or is unknown: sign in again.");
    return namedOf(session);
  }

  /** From now on the token is worth nothing on any replica. */
  async signOut(token: string, { name }: Named): Promise<void> {
    const event = this.#event("operator.signed_out", name);
    await this.#ports.sessions.end(hashSecret(token), event);
  }

  async #verifyAndStart(request: SignIn, turn: Turn): Promise<{ caller: Named; token: string }> {
    const { sessions, passwords } = this.#ports;
    const account = OPERATOR_NAME.test(request.name) ? await sessions.account(request.name) : null;
    const matches = await passwords.matches(request.password, account?.passwordHash ?? null, turn);
    if (!matches || account === null) throw wrong();
    const totpStep = account.totpSecret === null ? null : this.#totpStep(account.name, account.totpSecret, request);
    const token = this.#ports.random.take(32).toString("base64url");
    const session = await sessions.start(
      {
        tokenHash: hashSecret(token),
        account,
        totpStep,
        methods: totpStep === null ? ["pwd"] : ["pwd", "otp"],
        replaces: request.replaces === null ? null : hashSecret(request.replaces),
      },
      this.#event("operator.signed_in", account.name, request.from),
    );
    if (session === null) throw wrong();
    return { caller: namedOf(session), token };
  }

  #totpStep(name: string, sealed: Uint8Array, request: SignIn): number {
    const secret = this.#ports.totpSeal.open(name, sealed);
    if (secret === null)
      throw new Error(
        `The secret of ${name}'s one-time codes was encrypted with another hmac.key: run \`datacrawl operator totp enable ${name}\` again.`,
      );
    const step = matchTotp(secret, request.totpCode, this.#ports.now());
    if (step === null) throw wrong();
    return step;
  }

  #event(kind: string, name: string, from?: string): HashedEvent {
    const facts = { kind, actor: `operator:${name}`, subject: name, detail: from === undefined ? {} : { from } };
    return makeEvent(facts, this.#ports.now(), this.#ports.random);
  }
}

/** A name for counting and for the trail: what cannot be one is `-`. */
export function claimedName(name: string): string {
  return OPERATOR_NAME.test(name) ? name : "-";
}

function namedOf({ name, role, signedInAt, methods }: StoredSession): Named {
  return { kind: "operator", name, role, signedInAt, methods };
}

/** One answer for a wrong name, password and code: which it was is not the caller's to know. */
function wrong(): Fault {
  return new Fault("SIGN_IN_FAILED", "The name, the password or the one-time code is wrong.");
}
