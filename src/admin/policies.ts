import type { JsonObject } from "../core/json.ts";
import type { DecisionRow } from "../audit/row/record.ts";
import type { Micros } from "../core/clock.ts";
import { canonicalJson, NotCanonicalError } from "../core/canonical-json.ts";
import { Fault, pathText } from "../core/fault.ts";
import { type DigestKeys, digestRequest, sameDigest } from "../idempotency/key.ts";
import { type Bundle, type PolicyFile, type PolicyInput, readStoredBundle } from "../policy/bundle.ts";
import { type FindingView, type RuleView, ruleView, type Trial, tryPolicy } from "../policy/rule-view.ts";
import { invalid } from "./checks.ts";
import type { SqlPolicyBundles } from "../store/policy-bundles.ts";

/** The policies that are in force in this process. */
export interface ActivePolicies {
  readonly current: Bundle;
  readonly problem: string | null;
}

export interface PolicyPorts {
  /** Null where no service runs. */
  readonly active: () => ActivePolicies | null;
  readonly bundles: SqlPolicyBundles;
  /** Tries files that somebody sent, where they do no harm. */
  readonly tryApart: (question: {
    files: readonly PolicyFile[];
    request: TrialRequest["request"];
  }) => Promise<{ readonly trial: Trial } | { readonly problems: readonly string[] }>;
  readonly digestKeys: DigestKeys;
}

export interface PolicyView {
  readonly version: string;
  readonly files: readonly PolicyFile[];
  readonly rules: readonly RuleView[];
  readonly active: boolean;
  /** Null if the database does not know it yet. */
  readonly firstSeen: Micros | null;
  readonly problem: string;
}

export interface TrialRequest {
  /** Empty for a version, or for those in force. */
  readonly files: readonly PolicyFile[];
  /** Empty for those in force. */
  readonly version: string;
  readonly request: PolicyInput;
}

/** Why a decision came out so, as far as it is known. */
export interface Explanation {
  readonly rule: RuleView | null;
  readonly findings: readonly FindingView[];
  /** Empty if nothing is missing. */
  readonly unavailable: string;
}

/** As in a request to be decided. */
const PAYLOAD_DEPTH = 32;
const MAX_FILES = 100;
const MAX_BYTES = 64 * 1024;
const FILE_NAME = /^[\w.-]{1,128}\.yaml$/;
/** Bundles of earlier versions, compiled: an operator who looks at decisions looks at several of one. */
const MAX_COMPILED = 4;
/** Trials in threads of their own at a time. */
const MAX_TRIALS = 2;

/** The policies in force and before, and what they make of requests. */
export class PolicyOperations {
  readonly #ports: PolicyPorts;
  readonly #compiled = new Map<string, Bundle>();
  #trials = 0;

  constructor(ports: PolicyPorts) {
    this.#ports = ports;
  }

  /** @param version empty for those in force @throws Fault POLICY_UNKNOWN */
  async view(version: string): Promise<PolicyView> {
    const active = this.#ports.active();
    const bundle = await this.#bundle(version);
    const isActive = bundle.version === active?.current.version;
    return {
      version: bundle.version,
      files: bundle.files,
      rules: bundle.rules.map((rule) => ruleView(bundle, rule)),
      active: isActive,
      firstSeen: (await this.#ports.bundles.find(bundle.version))?.firstSeen ?? null,
      problem: isActive ? (active?.problem ?? "") : "",
    };
  }

  /** Newest first. */
  async versions(
    before: Micros | null,
    limit: number,
  ): Promise<{ versions: { version: string; firstSeen: Micros; active: boolean }[]; more: boolean }> {
    const found = await this.#ports.bundles.list(before ?? Number.MAX_SAFE_INTEGER, limit + 1);
    const current = this.#ports.active()?.current.version;
    const versions = found.map((one) => ({ ...one, active: one.version === current }));
    return { versions: versions.slice(0, limit), more: versions.length > limit };
  }

  /** @throws Fault FIELD_INVALID, POLICY_UNKNOWN, QUEUE_FULL */
  async try({
    files,
    version,
    request,
  }: TrialRequest): Promise<{ readonly trial: Trial } | { readonly problems: readonly string[] }> {
    checkPayload(request.payload);
    if (files.length === 0) return { trial: tryPolicy(await this.#bundle(version), request) };
    if (version !== "") throw invalid("version", "must be empty with files");
    checkFiles(files);
    if (this.#trials >= MAX_TRIALS) {
      throw new Fault("QUEUE_FULL", "Other policies are being tested: try again in some seconds.", {
        retryAfterMs: 1000,
      });
    }
    this.#trials++;
    try {
      return await this.#ports.tryApart({ files, request });
    } catch (cause) {
      throw new Fault("FIELD_INVALID", "The files could not be compiled within 5 s and 128 MiB.", {
        field: "files",
        cause,
      });
    } finally {
      this.#trials--;
    }
  }

  /** @param canonical the payload as it was kept, or null */
  async explain(row: DecisionRow, canonical: string | null): Promise<Explanation> {
    const { policyVersion, ruleId } = row;
    if (policyVersion === null) return nothing("no policy judged it");
    const bundle = await this.#find(policyVersion);
    if (bundle === null) return nothing("the text of the policies that judged it is not known here");
    const deciding = bundle.rules.find(({ id }) => id === ruleId);
    const rule = deciding === undefined ? null : ruleView(bundle, deciding);
    if (canonical === null) return { rule, findings: [], unavailable: "its payload was not kept, or has been erased" };
    // What was redacted is a digest in the payload that is kept; a condition would see that, and not what it saw.
    if (row.requestDigest === null || !this.#isWhole(row, canonical)) {
      return {
        rule,
        findings: [],
        unavailable: "the payload that was kept is not the one that was judged: it is redacted",
      };
    }
    const payload = JSON.parse(canonical) as JsonObject;
    return { rule, findings: tryPolicy(bundle, { ...row, payload }).findings, unavailable: "" };
  }

  #isWhole({ agentId, tool, principal, requestDigest }: DecisionRow, canonicalPayload: string): boolean {
    const digest = digestRequest(this.#ports.digestKeys, { agentId, tool, canonicalPayload, principal });
    return requestDigest !== null && sameDigest(digest, requestDigest);
  }

  async #bundle(version: string): Promise<Bundle> {
    const active = this.#ports.active();
    if (version === "" && active === null)
      throw new Fault("POLICY_UNKNOWN", "No service runs here, so no policies are in force; name a version.");
    const bundle = version === "" ? (active as ActivePolicies).current : await this.#find(version);
    if (bundle === null) throw new Fault("POLICY_UNKNOWN", "No service has used policies of that version.");
    return bundle;
  }

  /** Null if the version is not known, or this software reads its text differently. */
  async #find(version: string): Promise<Bundle | null> {
    const active = this.#ports.active();
    if (active?.current.version === version) return active.current;
    const compiled = this.#compiled.get(version);
    if (compiled !== undefined) return compiled;
    const stored = await this.#ports.bundles.find(version);
    const bundle = stored === null ? null : readStoredBundle(stored.files);
    if (bundle === null || bundle.version !== version) return null;
    for (const oldest of this.#compiled.keys()) if (this.#compiled.size >= MAX_COMPILED) this.#compiled.delete(oldest);
    this.#compiled.set(version, bundle);
    return bundle;
  }
}

function nothing(unavailable: string): Explanation {
  return { rule: null, findings: [], unavailable };
}

/** What could not be asked cannot be tried either. @throws Fault FIELD_INVALID */
function checkPayload(payload: JsonObject): void {
  try {
    canonicalJson(payload, "payload", PAYLOAD_DEPTH, { exactIntegers: true });
  } catch (error) {
    if (error instanceof NotCanonicalError) throw invalid(pathText(error.path).slice(0, 200), error.message);
    throw error;
  }
}

function checkFiles(files: readonly PolicyFile[]): void {
  if (files.length > MAX_FILES) throw invalid("files", `must be at most ${MAX_FILES}`);
  const bytes = files.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  if (bytes > MAX_BYTES) throw invalid("files", `must be at most ${MAX_BYTES} bytes in all, are ${bytes}`);
  if (files.some(({ name }) => !FILE_NAME.test(name))) throw invalid("files", "must have names such as rules.yaml");
  if (new Set(files.map(({ name }) => name)).size < files.length) throw invalid("files", "must differ in their names");
}
