/** Patterns of tools and agents: what is a legal one, and what it matches. */

const MAX_TOOL_BYTES = 256;

/** What is wrong with a tool pattern, or null. Legal are an exact name, `prefix.*` and `*`; case counts. */
export function toolPatternProblem(pattern: string): string | null {
  if (pattern === "*") return null;
  const name = pattern.endsWith(".*") ? pattern.slice(0, -2) : pattern;
  if (name.includes("*")) {
    return `tool pattern ${JSON.stringify(pattern)}: "*" stands alone or ends a pattern behind a dot; write "gmail.*" or each name`;
  }
  if (name === "" || /\s/.test(name) || Buffer.byteLength(pattern) > MAX_TOOL_BYTES) {
    return `tool pattern ${JSON.stringify(pattern)}; write a name without spaces, of at most ${MAX_TOOL_BYTES} bytes`;
  }
  return null;
}

/** What is wrong with an agent pattern, or null. Legal are an exact id, `prefix*` and `*`. */
export function agentPatternProblem(pattern: string): string | null {
  if (/^([a-z0-9][a-z0-9.-]{0,62}|[a-z0-9][a-z0-9.-]{0,61}\*|\*)$/.test(pattern)) return null;
  return `agent pattern ${JSON.stringify(pattern)}; write lower-case letters, digits, "." and "-", and "*" at the end alone`;
}

/** Whether an agent's id matches any of `patterns`. Made once for each rule. */
export function agentMatcher(patterns: readonly string[]): (agentId: string) => boolean {
  if (patterns.includes("*")) return () => true;
  const ids = new Set(patterns.filter((pattern) => !pattern.endsWith("*")));
  const prefixes = patterns.filter((pattern) => pattern.endsWith("*")).map((pattern) => pattern.slice(0, -1));
  return (agentId) => ids.has(agentId) || prefixes.some((prefix) => agentId.startsWith(prefix));
}

/**
 * Values by tool pattern. Looking a tool up costs a map access for the name and one for each of its dots, whatever is stored
 * for other tools.
 */
export class ToolIndex<T> {
  readonly #exact = new Map<string, T>();
  /** By the pattern without its `*`, so with its last dot. */
  readonly #prefixes = new Map<string, T>();
  #longestPrefix = 0;
  #everything: T | undefined;

  /** The value stored for `pattern`, made by `create` if there is none. */
  at(pattern: string, create: () => T): T {
    if (pattern === "*") return (this.#everything ??= create());
    if (!pattern.endsWith(".*")) return getOrCreate(this.#exact, pattern, create);
    this.#longestPrefix = Math.max(this.#longestPrefix, pattern.length - 1);
    return getOrCreate(this.#prefixes, pattern.slice(0, -1), create);
  }

  /** The values of every pattern that matches `tool`: of its name, of its prefixes, of `*`. */
  lookup(tool: string): T[] {
    const found: T[] = [];
    const exact = this.#exact.get(tool);
    if (exact !== undefined) found.push(exact);
    // The longest prefix bounds the walk: a tool of 256 dots costs no more than the bundle's own patterns.
    for (let dot = tool.indexOf("."); dot !== -1 && dot < this.#longestPrefix; dot = tool.indexOf(".", dot + 1)) {
      const prefixed = this.#prefixes.get(tool.slice(0, dot + 1));
      if (prefixed !== undefined) found.push(prefixed);
    }
    if (this.#everything !== undefined) found.push(this.#everything);
    return found;
  }
}

function getOrCreate<T>(map: Map<string, T>, key: string, create: () => T): T {
  const present = map.get(key);
  if (present !== undefined) return present;
  const made = create();
  map.set(key, made);
  return made;
}
