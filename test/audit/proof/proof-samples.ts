import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { epochLine, formatCheckpoint, originOf } from "../../../src/audit/log/checkpoint.ts";
import * as lines from "../../../src/audit/proof/export-lines.ts";
import { digestPayload, hashDecision, hashEvent } from "../../../src/audit/row/hash.ts";
import { rowLeaf } from "../../../src/audit/log/leaf.ts";
import {
  CompactRange,
  consistencyProof,
  inclusionProof,
  type NodeReader,
  subtreesOf,
} from "../../../src/audit/log/merkle.ts";
import { formatVkey, noteKey, type NoteSigner, signNote } from "../../../src/audit/log/note.ts";
import {
  formatConsistencyProof,
  formatDecisionProof,
  type KeptPayload,
  payloadToJson,
} from "../../../src/audit/proof/proof.ts";
import { type DecisionRow, EVENT_COLUMNS, type EventRow } from "../../../src/audit/row/record.ts";
import { decisionToJson, rowToJson, toHex } from "../../../src/audit/row/row-json.ts";

/** A trail made up for tests and worked examples: the same bytes each time. */

export const START = 1_795_365_764_000_000;
const SECOND = 1_000_000;
/** What comes before the 32 bytes of an Ed25519 secret in PKCS #8. */
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

/** A key that anyone can make again: its secret is a digest of its label. */
export function sampleSigner(label: string, logId = "0193a1b2c3d47e5f8a9b0c1d2e3f4a5b"): NoteSigner {
  const secret = createHash("sha256").update(label).digest();
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: "der", type: "pkcs8" });
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  return { key: noteKey(originOf(logId), Buffer.from(x as string, "base64url")), privateKey };
}

/** A row of the trail with its place in the tree. */
export type Sample = { readonly seq: number; readonly hash: Uint8Array } & (
  | { readonly stream: "decisions"; readonly row: DecisionRow; readonly payload: KeptPayload | null }
  | { readonly stream: "events"; readonly row: EventRow }
);

/** A row's line of an export, by way of its JSON. */
export function sampleLine(sealed: Sample): string {
  const { seq, hash } = sealed;
  const row =
    sealed.stream === "events"
      ? { event: rowToJson(EVENT_COLUMNS, sealed.row) }
      : {
          decision: decisionToJson(sealed.row),
          ...(sealed.payload === null ? {} : { payload: payloadToJson(sealed.payload) }),
        };
  return `${JSON.stringify({ seq, hash: toHex(hash), ...row })}\n`;
}

export function sampleTrail(count: number, tool = "stripe.refund"): Sample[] {
  return Array.from({ length: count }, (_, seq) => (seq % 4 === 3 ? sampleEvent(seq) : sampleDecision(seq, tool)));
}

export interface SampleTree {
  readonly read: NodeReader;
  readonly noteAt: (size: number) => string;
}

export function sampleTree(trail: readonly Sample[], signer: NoteSigner, epoch = 1): SampleTree {
  const nodes = new Map<string, Uint8Array>();
  const roots: Uint8Array[] = [];
  const tree = new CompactRange();
  for (const { stream, hash } of trail) {
    roots.push(tree.root());
    tree.append(rowLeaf(stream, hash), ({ level, index }, node) => nodes.set(`${level}/${index}`, node));
  }
  roots.push(tree.root());
  const read: NodeReader = async (wanted) =>
    wanted.map(({ level, index }) => nodes.get(`${level}/${index}`) as Uint8Array);
  const noteAt = (size: number): string => {
    const root = roots[size] as Uint8Array;
    const text = formatCheckpoint({ origin: signer.key.name, size, root, extensions: [epochLine(epoch)] });
    return signNote(text, [signer]);
  };
  return { read, noteAt };
}

/** A proof file for the decision that is leaf `seq`. */
export async function sampleProof(trail: readonly Sample[], signer: NoteSigner, seq: number): Promise<string> {
  const { read, noteAt } = sampleTree(trail, signer);
  const leaf = trail[seq] as Sample;
  if (leaf.stream !== "decisions") throw new Error(`leaf ${seq} is no decision`);
  const proof = formatDecisionProof({
    row: leaf.row,
    hash: leaf.hash,
    payload: leaf.payload,
    epoch: 1,
    leafIndex: seq,
    inclusionPath: await inclusionProof(seq, trail.length, read),
    checkpoint: noteAt(trail.length),
    verifierKeys: [formatVkey(signer.key)],
  });
  return `${JSON.stringify(proof, null, 2)}\n`;
}

export async function sampleConsistency(trail: readonly Sample[], signer: NoteSigner, size: number): Promise<string> {
  const { read, noteAt } = sampleTree(trail, signer);
  const proof = formatConsistencyProof({
    first: noteAt(size),
    second: noteAt(trail.length),
    path: await consistencyProof(size, trail.length, read),
    verifierKeys: [formatVkey(signer.key)],
  });
  return `${JSON.stringify(proof, null, 2)}\n`;
}

/** An export of the leaves in `chosen`, with a checkpoint wherever the tree has one of `sizes`. */
export async function sampleExport(
  trail: readonly Sample[],
  signer: NoteSigner,
  chosen: (seq: number) => boolean,
  sizes: readonly number[] = [],
): Promise<string> {
  const { read, noteAt } = sampleTree(trail, signer);
  const to = START + trail.length * SECOND;
  const keys = [formatVkey(signer.key)];
  const out = [lines.headerLine({ log: signer.key.name, from: null, to, payloads: true, verifierKeys: keys })];
  out.push(lines.epochLine(1));
  const totals = { decisions: 0, events: 0, payloads: 0 };
  const takeGap = async (from: number, end: number): Promise<void> => {
    if (from < end) out.push(lines.gapLine(end, await read(subtreesOf(from, end))));
  };
  let at = 0;
  for (const sealed of trail) {
    if (!chosen(sealed.seq)) continue;
    await takeGap(at, sealed.seq);
    at = sealed.seq + 1;
    out.push(sampleLine(sealed));
    totals[sealed.stream]++;
    if (sealed.stream === "decisions" && sealed.payload !== null) totals.payloads++;
    if (sizes.includes(at)) out.push(lines.checkpointLine(noteAt(at)));
  }
  await takeGap(at, trail.length);
  if (at < trail.length || !sizes.includes(at)) out.push(lines.checkpointLine(noteAt(trail.length)));
  const body = out.join("");
  return body + lines.endLine(totals, createHash("sha256").update(body).digest("hex"));
}

const FIRST_OF_VERSION_2 = 16;

function sampleDecision(seq: number, tool: string): Sample {
  const salt = Buffer.alloc(16, seq);
  const canonical = `{"amount":${seq},"note":"\u00fc\\n \ud83d\ude00"}`;
  const payload: KeptPayload | null = seq % 3 === 2 ? null : { salt, canonical };
  const allowed = seq % 2 === 0;
  const row: DecisionRow = {
    decisionId: idOf(seq, 1),
    recordedAt: START + seq * SECOND,
    source: "service",
    agentId: "demo",
    credentialId: "0a1b2c3d4e5f",
    tool,
    idempotencyKey: `refund-${seq}`,
    decision: allowed ? "allow" : "deny",
    reason: allowed ? "RULE_ALLOWED" : "NO_MATCHING_RULE",
    message: allowed ? "Allowed by rule refund-small." : "",
    ruleId: allowed ? "refund-small" : null,
    policyVersion: "sha256:abab",
    requestDigest: Buffer.alloc(32, 7),
    payloadDigest: digestPayload(salt, canonical),
    decidedAt: START + seq * SECOND - 1,
    linkedDecisionId: null,
    reviewId: null,
    grantId: null,
    guardJournalId: seq % 5 === 0 ? idOf(seq, 3) : null,
    guardSequence: seq % 5 === 0 ? seq : null,
    guardRecordHash: seq % 5 === 0 ? Buffer.alloc(32, 9) : null,
    traceId: null,
    detail: '{"why":"a \\"quoted\\" word"}',
    // Behind the worked examples, whose bytes stay, rows of version 2, with one of its columns or both.
    principal: seq >= FIRST_OF_VERSION_2 && seq % 4 < 2 ? "ann@example.com" : null,
    sessionId: seq >= FIRST_OF_VERSION_2 && seq % 2 === 1 ? `run ü-${seq}` : null,
  };
  return { stream: "decisions", seq, row, hash: hashDecision(row), payload };
}

function sampleEvent(seq: number): Sample {
  const row: EventRow = {
    eventId: idOf(seq, 2),
    recordedAt: START + seq * SECOND,
    kind: "agent.created",
    actor: "socket",
    subject: "demo",
    decisionId: null,
    detail: "{}",
  };
  return { stream: "events", seq, row, hash: hashEvent(row) };
}

function idOf(seq: number, kind: number): string {
  return `0193a1b2-c3d4-7e5f-8a9b-${kind}${seq.toString(16).padStart(11, "0")}`;
}
