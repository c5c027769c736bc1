import type { OpenGuard } from "@datacrawl/client/internal/call/open";
import type { Clock } from "../core/clock.ts";
import type { JsonObject, JsonValue } from "../core/json.ts";
import { checkName } from "../core/request.ts";
import { ErrorCode, isObject, isRequestId, looselyRead } from "./message.ts";
import { errorReply } from "./reply.ts";

export interface ListFilterOptions {
  readonly guard: Pick<OpenGuard, "callableTools">;
  /** The server's name in the names of tools. */
  readonly server: string;
  /** How long the service may take to answer, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Pick<Clock, "monotonic">;
}

/** The service's limit for one question. */
const MAX_NAMES = 1000;
/** A policy changes without the server's knowledge, so that no list is kept for longer. */
const MAX_TTL_MS = 60_000;

/**
 * Hides from a server's lists of tools what the policy denies to the agent in any case.
 *
 * It spares models hopeless calls, and protects nothing: each call is authorized, whatever list its tool was in.
 */
export class ListFilter {
  readonly #options: ListFilterOptions;

  constructor(options: ListFilterOptions) {
    this.#options = options;
  }

  /**
   * What the client gets instead of the server's answer to `tools/list`: the same message if it holds no tools, and an error if the service
   * could not be asked, so that the client asks again. An empty list would be kept. Never rejects.
   */
  async filter(message: JsonObject, signal?: AbortSignal): Promise<JsonObject> {
    const { id, result } = message;
    if (!isObject(result) || !Object.hasOwn(result, "tools")) return message;
    const { tools } = result;
    if (!Array.isArray(tools)) return failed(id, "the server's list cannot be read");
    const asked = new Map(tools.flatMap((tool) => this.#named(tool)));
    const callable = await this.#callable([...new Set(asked.values())], signal);
    if (typeof callable === "string") return failed(id, callable);
    const isShown = (tool: JsonValue): boolean => callable.has(asked.get(tool) ?? "");
    return { ...message, result: { ...result, ...cacheHints(result), tools: tools.filter(isShown) } };
  }

  /** A tool with the name that its calls are asked under; nothing for one that no call could name. */
  #named(tool: JsonValue): [JsonValue, string][] {
    const name = isObject(tool) ? tool["name"] : null;
    if (typeof name !== "string" || name === "") return [];
    const full = `${this.#options.server}.${name}`;
    try {
      checkName("tool", full);
    } catch {
      return [];
    }
    return [[tool, full]];
  }

  /** Those of the names whose tools are not denied in any case, or why that is not known, as the middle of a sentence. */
  async #callable(names: readonly string[], signal: AbortSignal | undefined): Promise<ReadonlySet<string> | string> {
    const { guard, clock, timeoutMs } = this.#options;
    const deadlineAt = clock.monotonic() + timeoutMs;
    const callable = new Set<string>();
    for (let from = 0; from < names.length; from += MAX_NAMES) {
      const heard = await guard.callableTools(names.slice(from, from + MAX_NAMES), { deadlineAt, signal });
      if (heard.kind === "unanswered") return heard.message.replace(/\.$/, "");
      for (const name of heard.tools) callable.add(name);
    }
    return callable;
  }
}

/** Of 2026-07-28; other versions pass over members that they do not know. A list without a scope would count as public. */
function cacheHints({ ttlMs }: JsonObject): JsonObject {
  if (ttlMs === undefined) return { cacheScope: "private" };
  return { cacheScope: "private", ttlMs: typeof ttlMs === "number" ? Math.min(ttlMs, MAX_TTL_MS) : MAX_TTL_MS };
}

function failed(id: JsonValue | undefined, why: string): JsonObject {
  const text = `DataCrawl could not tell which tools may be called, so it shows none: ${why}. List the tools again later.`;
  return errorReply(isRequestId(id) ? id : null, ErrorCode.internal, text);
}

/**
 * Text of a server, in which the answers that `isList` points out are replaced by what `filter` makes of them. The text itself where
 * there is none: everything else stays as it was sent.
 */
export async function filterText(
  text: string,
  isList: (message: JsonObject) => boolean,
  filter: (message: JsonObject) => Promise<JsonObject>,
): Promise<string> {
  const value = parse(text.replace(/^\uFEFF/, ""));
  if (value === TOO_DEEP) return tooDeep(text, isList);
  const members = Array.isArray(value) ? value : [value];
  const filtered = await Promise.all(
    members.map(async (member) =>
      isObject(member) && isAnswer(member) && isList(member) ? await filter(member) : member,
    ),
  );
  if (filtered.every((member, index) => member === members[index])) return text;
  return JSON.stringify(Array.isArray(value) ? filtered : filtered[0]);
}

function isAnswer(message: JsonObject): boolean {
  return isRequestId(message["id"]) && !Object.hasOwn(message, "method");
}

/** In Node's, but not in TypeScript's library yet. */
const { rawJSON } = JSON as unknown as { rawJSON(this: void, text: string): JsonValue };

/** Text that is nested too deeply to be written again: a list in it is not shown, nor is what else is in a batch with it. */
function tooDeep(text: string, isList: (message: JsonObject) => boolean): string {
  const lists = looselyRead(text).filter((message) => isAnswer(message) && isList(message));
  const errors = lists.map(({ id }) => failed(id, "the server's list is nested too deeply"));
  return errors.length === 0 ? text : JSON.stringify(errors.length === 1 ? errors[0] : errors);
}

const TOO_DEEP = Symbol();

/** Null for what is no JSON. Numbers that a double rounds, such as bounds in the schemas of arguments, are written as they were read. */
function parse(text: string): JsonValue | typeof TOO_DEEP {
  const keep = (_name: string, value: JsonValue, { source }: { readonly source?: string }): JsonValue =>
    typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined ? rawJSON(source) : value;
  try {
    return JSON.parse(text, keep as (name: string, value: unknown) => unknown) as JsonValue;
  } catch (error) {
    return error instanceof RangeError ? TOO_DEEP : null;
  }
}
