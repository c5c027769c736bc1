import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";

/** What proves to the service who asks. At least one of the two. */
export interface Identity {
  /** `dc_agent_…`, or where the token of the moment comes from. */
  readonly bearer: string | TokenSource | null;
  readonly certificateFiles: CertificateFiles | null;
}

/** Returns the agent's JWT. Called before each attempt, so it should cache the token until shortly before it expires. */
export type TokenSource = () => string | Promise<string>;

/** A client certificate with its chain, and its private key, in PEM. */
export interface CertificateFiles {
  /** The path of the certificate, with its chain. */
  readonly certFile: string;
  /** The path of the private key, without a password. */
  readonly keyFile: string;
}

/** A pair that belongs together, in PEM. The same object as long as the files say the same. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** What proves who asks, as it goes with one attempt. */
export interface Credentials {
  /** The header. */
  readonly authorization: string | null;
  readonly certificate: Certificate | null;
}

/** Where the credentials of each attempt come from: a key as it is, tokens and certificates as they are at that moment. */
export class CredentialSource {
  readonly #bearer: Identity["bearer"];
  readonly #certificates: CertificateReader | null;
  /** Null if they may change. */
  readonly fixed: Credentials | null;

  constructor({ bearer, certificateFiles }: Identity) {
    this.#bearer = bearer;
    this.#certificates = certificateFiles && new CertificateReader(certificateFiles);
    const isFixed = typeof bearer === "string" && certificateFiles === null;
    this.fixed = isFixed ? { authorization: `Bearer ${bearer}`, certificate: null } : null;
  }

  /** @throws Error whose message never holds what was read */
  async read(): Promise<Credentials> {
    return {
      certificate: this.#certificates && (await this.#certificates.read()),
      authorization: this.#bearer === null ? null : `Bearer ${await bearerToken(this.#bearer)}`,
    };
  }
}

/** As a header can hold it. */
export const TOKEN = /^[\x21-\x7e]{1,16384}$/;
export const NO_TOKEN = "no token: it must be up to 16384 visible characters of ASCII";

/** @throws Error whose message never holds what was read */
async function bearerToken(source: string | TokenSource): Promise<string> {
  if (typeof source === "string") return source;
  const token: unknown = await sayingWhy("the token cannot be had", source);
  const text = typeof token === "string" ? token.trim() : "";
  if (!TOKEN.test(text)) throw new Error(`the option token, or DATACRAWL_TOKEN_FILE, gave ${NO_TOKEN}`);
  return text;
}

/**
 * Reads the files each time, because certificates are replaced while processes run. While they cannot be read, or do not belong
 * together (one has been replaced and the other not yet), it stays with the last pair.
 */
class CertificateReader {
  readonly #files: CertificateFiles;
  #last: Certificate | null = null;
  #reading: Promise<Certificate> | null = null;

  constructor(files: CertificateFiles) {
    this.#files = files;
  }

  /** @throws Error if there has never been a pair */
  read(): Promise<Certificate> {
    this.#reading ??= this.#read().finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #read(): Promise<Certificate> {
    try {
      const pair = await readPair(this.#files);
      if (pair.cert !== this.#last?.cert || pair.key !== this.#last.key) {
        createSecureContext(pair);
        this.#last = pair;
      }
    } catch (error) {
      if (this.#last === null) {
        throw new Error(`the client certificate cannot be used (${nameOf(error)})`, { cause: error });
      }
    }
    return this.#last;
  }
}

async function readPair({ certFile, keyFile }: CertificateFiles): Promise<Certificate> {
  const [cert, key] = await Promise.all([readFile(certFile, "utf8"), readFile(keyFile, "utf8")]);
  return { cert, key };
}

async function sayingWhy<T>(problem: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // Not its message: what somebody else's code says may hold the token.
    throw new Error(`${problem} (${nameOf(error)})`, { cause: error });
  }
}

/** What went wrong, by its code: messages may hold what was read. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
