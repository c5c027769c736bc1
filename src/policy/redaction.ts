import type { JsonObject, JsonValue } from "../core/json.ts";
import { canonicalJson } from "../core/canonical-json.ts";
import { Fault, type Path, pathText } from "../core/fault.ts";
import { ToolIndex } from "./pattern.ts";
import { ANY } from "./payload-path.ts";
import type { RedactPath } from "./redact-path.ts";

/** What must never be stored or shown of some tools' payloads. */
export interface RedactRule {
  /** As a rule's. */
  readonly tools: readonly string[];
  readonly paths: readonly RedactPath[];
}

/** One payload may hold so many: each costs a digest, and some sixty bytes in its place. */
export const MAX_REDACTED = 1024;
/** Deeper than any payload, for a mark is a level deeper than the value that it stands for. */
const STORED_DEPTH = 64;
/** The one member of a mark. A member that the agent itself named so is stored with one more `$`. */
const MARK = "$redacted";
const LIKE_MARK = /^\$+redacted$/;

/** Paths that share their first steps share these nodes. */
interface Node {
  /** Whether a path ends here, so that the value here is redacted. */
  end: boolean;
  readonly names: Map<string, Node>;
  any: Node | null;
}

/**
 * What a bundle keeps out of storage. A list counts as each of its elements, on the way and at a path's end: an agent that
 * sends a list of cards instead of a card gets no number past it. `*` is any member of an object or element of a list.
 */
export class Redaction {
  readonly #byTool = new ToolIndex<Node>();
  readonly #sources = new ToolIndex<string[]>();
  readonly #all: Node = emptyNode();

  constructor(rules: readonly RedactRule[]) {
    for (const { tools, paths } of rules) {
      for (const path of paths) {
        for (const pattern of new Set(tools)) {
          addPath(this.#byTool.at(pattern, emptyNode), path);
          this.#sources.at(pattern, () => []).push(path.source);
        }
        addPath(this.#all, path);
      }
    }
  }

  /** The paths that are redacted of `tool`'s payloads, as the files say them. */
  pathsOf(tool: string): readonly string[] {
    return [...new Set(this.#sources.lookup(tool).flat())];
  }

  /**
   * The payload's canonical text as it may be stored: each redacted value is a mark with its digest, and everything else as it is.
   *
   * @param canonical the payload's canonical text
   * @param digest of a value's canonical text; keyed, so that values which are easy to guess are not given away
   * @throws Fault FIELD_INVALID if more than {@link MAX_REDACTED} values are redacted
   */
  storable(tool: string, payload: JsonObject, canonical: string, digest: (canonical: string) => string): string {
    const roots = this.#byTool.lookup(tool);
    if (roots.length === 0 && !canonical.includes(`${MARK}"`)) return canonical;
    const stored = new Masking(digest).mask(payload, roots);
    return stored === payload ? canonical : canonicalJson(stored, "payload", STORED_DEPTH);
  }

  /** The payload as people may see it where it is not stored: with marks that have no digests. */
  shown(tool: string, payload: JsonObject): JsonValue {
    return new Masking(() => "not shown").mask(payload, this.#byTool.lookup(tool));
  }

  /** `fault` as it may be shown: names of members that lie within a redacted value are part of that value. */
  discreet(fault: Fault): Fault {
    const { code, path, field } = fault;
    if (path === undefined || field === undefined) return fault;
    const visible = this.#visible(path);
    if (visible.length === path.length) return fault;
    const place = pathText(visible);
    const problem = `holds a redacted value, in which something${fault.message.slice(field.length)}`;
    return new Fault(code, `${place} ${problem}`, { field: place, path: visible });
  }

  /** `path` as far as no tool's paths redact what it leads through: which tool is meant may not be known yet. */
  #visible(path: Readonly<Path>): Readonly<Path> {
    if (path[0] !== "payload") return path;
    let nodes: readonly Node[] = [this.#all];
    for (let depth = 1; depth < path.length; depth++) {
      if (nodes.some(({ end }) => end)) return path.slice(0, depth);
      const part = path[depth];
      nodes = typeof part === "string" ? membersOf(nodes, part) : elementsOf(nodes);
    }
    return path;
  }
}

/** Of a stored or shown payload: no agent can make one of its own. */
export function isMark(value: JsonValue | undefined): boolean {
  return typeof value === "object" && value !== null && Object.hasOwn(value, MARK);
}

function emptyNode(): Node {
  return { end: false, names: new Map(), any: null };
}

function addPath(root: Node, { steps }: RedactPath): void {
  let node = root;
  for (const step of steps) {
    if (step === ANY) node = node.any ??= emptyNode();
    else {
      const next = node.names.get(step) ?? emptyNode();
      node.names.set(step, next);
      node = next;
    }
  }
  node.end = true;
}

/** Where paths that have come to `nodes` go on in the member `name`. */
function membersOf(nodes: readonly Node[], name: string): Node[] {
  const next = new Set<Node>();
  for (const node of nodes) {
    const named = node.names.get(name);
    if (named !== undefined) next.add(named);
    if (node.any !== null) next.add(node.any);
  }
  return [...next];
}

/** Where they go on in each element: a list is looked through, and `*` is an element too. */
function elementsOf(nodes: readonly Node[]): Node[] {
  return [...new Set(nodes.flatMap((node) => (node.any === null ? [node] : [node, node.any])))];
}

/** One payload's walk: each value is seen once, with the paths that have come as far as it. */
class Masking {
  readonly #digest: (canonical: string) => string;
  #count = 0;

  constructor(digest: (canonical: string) => string) {
    this.#digest = digest;
  }

  /** `value` itself if nothing in it changes. */
  mask(value: JsonValue, nodes: readonly Node[]): JsonValue {
    if (nodes.some(({ end }) => end)) return this.#mark(value);
    if (typeof value !== "object" || value === null) return value;
    return Array.isArray(value) ? this.#maskList(value, nodes) : this.#maskObject(value, nodes);
  }

  #maskList(items: readonly JsonValue[], nodes: readonly Node[]): JsonValue {
    const next = elementsOf(nodes);
    const masked = items.map((item) => this.mask(item, next));
    return masked.some((item, index) => item !== items[index]) ? masked : (items as JsonValue[]);
  }

  #maskObject(object: JsonObject, nodes: readonly Node[]): JsonValue {
    let changed = false;
    const members = Object.keys(object).map((name): [string, JsonValue] => {
      const value = object[name] as JsonValue;
      const stored = this.mask(value, membersOf(nodes, name));
      const escaped = LIKE_MARK.test(name) ? `$${name}` : name;
      changed ||= stored !== value || escaped !== name;
      return [escaped, stored];
    });
    // `fromEntries` makes own properties, of `__proto__` too.
    return changed ? Object.fromEntries(members) : object;
  }

  #mark(value: JsonValue): JsonValue {
    this.#count++;
    if (this.#count > MAX_REDACTED) {
      throw new Fault("FIELD_INVALID", `payload must hold at most ${MAX_REDACTED} values that are redacted.`, {
        field: "payload",
      });
    }
    return { [MARK]: this.#digest(canonicalJson(value, "payload", STORED_DEPTH)) };
  }
}
