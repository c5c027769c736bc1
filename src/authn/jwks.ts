import { createLocalJWKSet, errors, type JWTVerifyGetKey } from "jose";
import { Fault, messageOf } from "../core/fault.ts";
import { IssuerError } from "./fetch-json.ts";

/** How old the issuer's keys may be while it cannot be asked. */
const MAX_AGE_MS = 24 * 3600_000;
/** How often they are asked for, so that a key that was withdrawn is not believed much longer. */
const REFRESH_MS = 5 * 60_000;
/** How often a token whose key is not known, which anybody can write, makes us ask. */
const UNKNOWN_KEY_MS = 30_000;

export interface JwksOptions {
  readonly issuer: string;
  /** Where the keys are; null if the issuer's discovery document says it. */
  readonly url: string | null;
  /** @throws if there is no such document */
  readonly fetchJson: (url: string) => Promise<unknown>;
  /** Milliseconds. */
  readonly monotonic: () => number;
  readonly onError: (error: unknown) => void;
}

/** The least that RFC 7518 allows for signatures. */
const RSA_BITS = 2048;

interface Known {
  readonly find: JWTVerifyGetKey;
  readonly askedAt: number;
}

/**
 * An issuer's public keys (RFC 7517), asked for in the background and kept through its outages for at most 24 hours; in memory, so
 * not through a restart. Give {@link find} to jose's `jwtVerify`.
 */
export class Jwks {
  readonly #options: JwksOptions;
  #known: Known | null = null;
  #weak = "";
  #triedAt = Number.NEGATIVE_INFINITY;
  #refreshing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: JwksOptions) {
    this.#options = options;
  }

  /** Asks for the keys now, and again every few minutes until {@link stop}. An issuer that is down does not stop the service. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS).unref();
    await this.#refresh();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /**
   * The key that a token names. An unknown one is looked for at the issuer, but not often.
   *
   * @throws Fault ISSUER_UNAVAILABLE if nothing recent enough is known; errors of jose if there is no such key
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#current() === null) await this.#refreshUnlessJustTried();
    const known = this.#current();
    if (known === null) {
      throw new Fault("ISSUER_UNAVAILABLE", `The keys of ${this.#options.issuer} are not known.`, {
        retryAfterMs: 5000,
      });
    }
    try {
      return await known.find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#refreshUnlessJustTried();
      return await (this.#current() ?? known).find(header, token);
    }
  };

  #current(): Known | null {
    const { monotonic } = this.#options;
    return this.#known !== null && monotonic() - this.#known.askedAt <= MAX_AGE_MS ? this.#known : null;
  }

  async #refreshUnlessJustTried(): Promise<void> {
    const justTried = this.#options.monotonic() - this.#triedAt < UNKNOWN_KEY_MS;
    if (!justTried || this.#refreshing !== null) await this.#refresh();
  }

  /** Callers share one question. Never rejects: what is known stays. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#ask()
      .catch((error: unknown) => this.#options.onError(error))
      .finally(() => {
        this.#refreshing = null;
      });
    return this.#refreshing;
  }

  async #ask(): Promise<void> {
    const { fetchJson, monotonic } = this.#options;
    const askedAt = monotonic();
    this.#triedAt = askedAt;
    const url = this.#options.url ?? (await this.#discover());
    const keys = await fetchJson(url);
    this.#reportWeakKeys(keys);
    this.#known = { find: keySetOf(url, keys), askedAt };
  }

  /** Tokens signed with such a key are refused, and only the issuer can change that; reported once for each set of keys. */
  #reportWeakKeys(keys: unknown): void {
    const weak = weakKeysOf(keys).join(", ");
    if (weak === this.#weak) return;
    this.#weak = weak;
    if (weak === "") return;
    const { issuer, onError } = this.#options;
    onError(
      new IssuerError(`${issuer} has RSA keys of fewer than ${RSA_BITS} bits, whose tokens are refused: ${weak}.`),
    );
  }

  /** OpenID Connect Discovery 1.0. The document must be the issuer's own. */
  async #discover(): Promise<string> {
    const { issuer, fetchJson } = this.#options;
    const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const document = (await fetchJson(url)) as { issuer?: unknown; jwks_uri?: unknown } | null;
    if (document?.issuer !== issuer || typeof document.jwks_uri !== "string") {
      throw new IssuerError(`${url} is not the discovery document of ${issuer}.`);
    }
    return document.jwks_uri;
  }
}

function keySetOf(url: string, document: unknown): JWTVerifyGetKey {
  try {
    return createLocalJWKSet(document as Parameters<typeof createLocalJWKSet>[0]);
  } catch (cause) {
    throw new IssuerError(`${url} did not answer with a set of keys (RFC 7517): ${messageOf(cause)}.`);
  }
}

/** The ids of the RSA keys for signatures that are too short. */
function weakKeysOf(document: unknown): string[] {
  const { keys } = (document ?? {}) as { keys?: unknown };
  if (!Array.isArray(keys)) return [];
  return (keys as readonly unknown[]).flatMap((key) => {
    const { kty, use, n, kid } = (key ?? {}) as Record<string, unknown>;
    if (kty !== "RSA" || use === "enc" || typeof n !== "string") return [];
    const modulus = Buffer.from(n, "base64url");
    return modulus.length * 8 < RSA_BITS ? [typeof kid === "string" ? kid : "(without an id)"] : [];
  });
}
