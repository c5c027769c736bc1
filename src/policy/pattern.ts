/** Patterns of tools and agents: what is a legal one, and what it matches. */

const MAX_TOOL_BYTES = 256;

/**
 * What a tool's name begins and ends with. `suffix` is null where nothing may follow `prefix`, so that `prefix` is the whole name;
 * else any text, also none, may stand between the two.
 */
export interface ToolShape {
  readonly prefix: string;
  readonly suffix: string | null;
}

/** `stripe.refund`, `stripe.*`, `*.read`, `stripe.*.read` and `*`, of a pattern without problems. */
export function toolShape(pattern: string): ToolShape {
  const star = pattern.indexOf("*");
  if (star === -1) return { prefix: pattern, suffix: null };
  return { prefix: pattern.slice(0, star), suffix: pattern.slice(star + 1) };
}

/** What is wrong with a tool pattern, or null. Legal are a name, and a `*` alone or for all between two dots or a dot and an end. */
export function toolPatternProblem(pattern: string): string | null {
  const { prefix, suffix } = toolShape(pattern);
  const meetsDots = (prefix === "" || prefix.endsWith(".")) && (suffix === "" || suffix?.startsWith("."));
  if (suffix !== null && (!meetsDots || suffix.includes("*"))) {
    return `tool pattern ${JSON.stringify(pattern)}: one "*" stands alone or beside dots; write "gmail.*", "*.read", "gmail.*.read" or each name`;
  }
  if (
    pattern === "" ||
    prefix === "." ||
    suffix === "." ||
    /\s/.test(pattern) ||
    Buffer.byteLength(pattern) > MAX_TOOL_BYTES
  ) {
    return `tool pattern ${JSON.stringify(pattern)}; write a name without spaces, of at most ${MAX_TOOL_BYTES} bytes`;
  }
  return null;
}

/** What is wrong with an agent pattern, or null. Legal are an exact id, `prefix*` and `*`. */
export function agentPatternProblem(pattern: string): string | null {
  if (/^([a-z0-9][a-z0-9.-]{0,62}|[a-z0-9][a-z0-9.-]{0,61}\*|\*)$/.test(pattern)) return null;
  return `agent pattern ${JSON.stringify(pattern)}; write lower-case letters, digits, "." and "-", and "*" at the end alone`;
}

/** Whether a rule with these patterns is about an agent. Made once for each rule. */
export function agentMatcher(patterns: readonly string[], except: readonly string[]): (agentId: string) => boolean {
  const included = anyOf(patterns);
  if (except.length === 0) return included;
  const excluded = anyOf(except);
  return (agentId) => included(agentId) && !excluded(agentId);
}

function anyOf(patterns: readonly string[]): (agentId: string) => boolean {
  if (patterns.includes("*")) return () => true;
  const ids = new Set(patterns.filter((pattern) => !pattern.endsWith("*")));
  const prefixes = patterns.filter((pattern) => pattern.endsWith("*")).map((pattern) => pattern.slice(0, -1));
  return (agentId) => ids.has(agentId) || prefixes.some((prefix) => agentId.startsWith(prefix));
}

/** What is stored for the patterns that begin alike. */
interface PrefixEntry<T> {
  /** For the name itself. */
  exact: T | undefined;
  /** For what goes on behind it, by what it has to end with: `""` for `prefix.*`, `.read` for `prefix.*.read`. */
  readonly bySuffix: Map<string, T>;
  longestSuffix: number;
}

/**
 * Values by tool pattern. Looking a tool up costs a map access for the name, for each of its dots, and where patterns with a
 * suffix begin as the tool does for each of the dots behind; whatever is stored for other tools.
 */
export class ToolIndex<T> {
  readonly #byPrefix = new Map<string, PrefixEntry<T>>();
  #longestPrefix = 0;

  /** The value stored for `pattern`, made by `create` if there is none. */
  at(pattern: string, create: () => T): T {
    const { prefix, suffix } = toolShape(pattern);
    const entry = getOrCreate(this.#byPrefix, prefix, () => ({
      exact: undefined,
      bySuffix: new Map(),
      longestSuffix: 0,
    }));
    if (suffix === null) return (entry.exact ??= create());
    this.#longestPrefix = Math.max(this.#longestPrefix, prefix.length);
    entry.longestSuffix = Math.max(entry.longestSuffix, suffix.length);
    return getOrCreate(entry.bySuffix, suffix, create);
  }

  /** The values of every pattern that matches `tool`: of its name, then by prefix, shorter ones first, then of those without. */
  lookup(tool: string): T[] {
    const found: T[] = [];
    const exact = this.#byPrefix.get(tool)?.exact;
    if (exact !== undefined) found.push(exact);
    // The longest prefix bounds the walk: a tool of 256 dots costs no more than the bundle's own patterns.
    for (let dot = tool.indexOf("."); dot !== -1 && dot < this.#longestPrefix; dot = tool.indexOf(".", dot + 1)) {
      this.#collect(tool, dot + 1, found);
    }
    this.#collect(tool, 0, found);
    return found;
  }

  /** Of the patterns whose prefix is the first `length` characters of `tool`, those whose suffix ends it; longer ones first. */
  #collect(tool: string, length: number, found: T[]): void {
    const entry = this.#byPrefix.get(tool.slice(0, length));
    if (entry === undefined) return;
    const from = Math.max(length, tool.length - entry.longestSuffix);
    for (let dot = tool.indexOf(".", from); dot !== -1 && entry.longestSuffix > 0; dot = tool.indexOf(".", dot + 1)) {
      const value = entry.bySuffix.get(tool.slice(dot));
      if (value !== undefined) found.push(value);
    }
    const any = entry.bySuffix.get("");
    if (any !== undefined) found.push(any);
  }
}

function getOrCreate<T>(map: Map<string, T>, key: string, create: () => T): T {
  const present = map.get(key);
  if (present !== undefined) return present;
  const made = create();
  map.set(key, made);
  return made;
}
