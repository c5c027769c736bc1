/**
 * Checkpoints of a transparency log (c2sp.org/tlog-checkpoint): the text of a signed note that states a tree's size and root.
 */

export interface Checkpoint {
  /** Which log this is; also the name that its keys sign under. */
  readonly origin: string;
  /** In leaves. */
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Further lines, without newlines. */
  readonly extensions: readonly string[];
}

export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
}

const ROOT_BYTES = 32;
const SIZE = /^(0|[1-9]\d*)$/;
const EPOCH = /^epoch (0|[1-9]\d*)$/;

/** The note text, with its last newline. @throws CheckpointError if a line would be empty or be two */
export function formatCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  const lines = [origin, String(size), Buffer.from(root).toString("base64"), ...extensions];
  const text = `${lines.join("\n")}\n`;
  // What we write is what we accept.
  parseCheckpoint(text);
  if (text.split("\n").length !== lines.length + 1) throw new CheckpointError("a checkpoint's line holds a newline");
  return text;
}

/** @param text of a note; its signatures are another matter. @throws CheckpointError if it is no checkpoint */
export function parseCheckpoint(text: string): Checkpoint {
  if (!text.endsWith("\n")) throw new CheckpointError("a checkpoint ends in a newline");
  const lines = text.slice(0, -1).split("\n");
  const [origin, size, root, ...extensions] = lines;
  if (origin === undefined || size === undefined || root === undefined)
    throw new CheckpointError("a checkpoint has three lines or more: origin, size, root");
  if (lines.includes("")) throw new CheckpointError("a checkpoint has no empty lines");
  if (!SIZE.test(size) || !Number.isSafeInteger(Number(size)))
    throw new CheckpointError("a checkpoint's second line is a count of leaves");
  const hash = Buffer.from(root, "base64");
  if (hash.length !== ROOT_BYTES || hash.toString("base64") !== root)
    throw new CheckpointError(`a checkpoint's third line is base64 of ${ROOT_BYTES} bytes`);
  return { origin, size: Number(size), root: hash, extensions };
}

/** The origin of a trail's checkpoints. @param logId the trail's random id */
export function originOf(logId: string): string {
  return `datacrawl/${logId}`;
}

/** The extension line that names the epoch: the trail's trees, one after another, are numbered. */
export function epochLine(epoch: number): string {
  return `epoch ${epoch}`;
}

/** @throws CheckpointError if not exactly one line names it */
export function epochOf({ extensions }: Checkpoint): number {
  const epochs = extensions.flatMap((line) => EPOCH.exec(line)?.[1] ?? []);
  const epoch = Number(epochs[0]);
  if (epochs.length !== 1 || !Number.isSafeInteger(epoch))
    throw new CheckpointError("a checkpoint of ours has one line that names its epoch");
  return epoch;
}
