import { Fault, messageOf, StoreError } from "../core/fault.ts";

/** What a log line says of a failure: `cause` of one that was to be expected, `error` of a bug. */
export type Failure =
  | { readonly cause: string }
  | { readonly error: { readonly type: string; readonly message: string; readonly stack: string } }
  | Record<string, never>;

const explained = new WeakSet<Error>();

/**
 * Why something failed, for a log. Outages, refusals and other errors with a name of their own are expected: they say what was
 * wrong. Everything else is a mistake in this program, and comes with its stack, once.
 *
 * INVARIANT: nothing here repeats a payload or a secret. V8's and Node's messages quote values, so only words that belong to
 * their templates are kept of them; frames name files and functions of ours.
 */
export function failureOf(error: unknown): Failure {
  const root = rootOf(error);
  if (!(root instanceof Error)) return { cause: `a ${typeof root} was thrown` };
  if (!isBug(root)) return root instanceof Fault ? {} : { cause: messageOf(root) };
  const type = root.name;
  const isOurText = root instanceof Fault || (root instanceof StoreError && !root.quotesValues);
  const message = isOurText ? root.message : templateOf(root);
  const stack = explained.has(root) ? "(see the first line about this error)" : framesOf(root);
  explained.add(root);
  return { error: { type, message, stack } };
}

/** What an error was wrapped about. A store's error says more than what its driver met. */
function rootOf(error: unknown): unknown {
  let root = error;
  while (root instanceof Error && !(root instanceof StoreError) && root.cause instanceof Error) root = root.cause;
  return root;
}

function isBug(error: Error): boolean {
  if (error instanceof Fault) return error.status === "internal";
  if (error instanceof StoreError) return !error.isOutage;
  if (error instanceof AggregateError) return error.errors.some((one) => !(one instanceof Error) || isBug(one));
  // Refused and lost connections, full disks: the system's errors are plain errors with a code.
  const hasCode = "code" in error && typeof error.code === "string";
  if (error.name === "Error") return !hasCode;
  return PROGRAMMING_ERRORS.has(error.name);
}

const PROGRAMMING_ERRORS: ReadonlySet<string> = new Set([
  "TypeError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "EvalError",
  "URIError",
  "AssertionError",
]);

const MAX_FRAMES = 20;
/** A frame with its place. Names of functions are ours; what follows them is a file. */
const FRAME = /^ {4}at (?:[\w$.<>#* ]+(?:\[as [\w$.<>#]+\] )?\()?(?:file:\/\/|node:|\/)[^()\n]*:\d+:\d+\)?$/;

/** The stack's frames, without the message above them, which could hold lines that look like frames. */
function framesOf({ stack = "", message }: Error): string {
  const start = message === "" ? 0 : stack.indexOf(message);
  if (start < 0) return "(its message was changed: no frames)";
  const lines = stack.slice(start + message.length).split("\n");
  return lines
    .filter((line) => FRAME.test(line))
    .slice(0, MAX_FRAMES)
    .join("\n");
}

/** `error`'s message, with `…` for whatever could be a value. */
function templateOf(error: Error): string {
  const kept = error.message.split(/\s+/).map((word) => (WORDS.has(bare(word)) ? word : "…"));
  return kept.filter((word, index) => word !== "…" || kept[index - 1] !== "…").join(" ");
}

function bare(word: string): string {
  return /^\(?([A-Za-z]+)[),.:;]*$/.exec(word)?.[1] ?? "";
}

/** Words of V8's, Node's and Postgres' messages: by themselves they give no value away. */
const WORDS: ReadonlySet<string> = new Set(
  `a an and any are argument arguments array as assignment async at be before bigint BigInt boolean buffer Buffer by call
  callee cannot Cannot cell circular class column constraint constructor conversion convert create Date deep define does
  duplicate element end error exceeded exist expected Expected failed finite for found from function has have in index
  initialized input instance instanceof integer into invalid Invalid is iterable iterator JSON key large left length long
  Map match maximum Maximum method missing must negative new no not null number Number object Object of on only operation
  operator or out own parameter permission denied position private Promise properties property prototype Proxy range read
  reading Received receiver relation required return safe schema search size stack statement string String structure such symbol
  Symbol syntax than that the The this to token too type types Undefined undefined unexpected Unexpected unique unsafe use
  used valid value values variable violates was with without`.split(/\s+/),
);
