/** What ran beneath a function, with how long. */
export interface Flame {
  readonly name: string;
  /** Microseconds, those of its children included. */
  total: number;
  readonly children: Map<string, Flame>;
}

export function newFlame(name: string): Flame {
  return { name, total: 0, children: new Map() };
}

const WIDTH = 1200;
const ROW = 16;
/** Pixels: narrower than this nothing is seen. */
const NARROWEST = 0.5;
/** Pixels that a letter takes, and the fewest letters that say anything. */
const LETTER = 6.2;
const FEWEST_LETTERS = 4;

/** A flame graph as SVG (Brendan Gregg, "The Flame Graph", CACM 59(6), 2016): each box is as wide as the time of its stack. */
export function flameSvg(root: Flame, title: string): string {
  const boxes: string[] = [];
  const depth = draw(root, 0, 0, WIDTH / root.total, boxes, root.total);
  const height = (depth + 1) * ROW + 24;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="10">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="4" y="14" font-size="12">${escapeXml(title)}</text>`,
    `<g transform="translate(0 22)">`,
    ...boxes,
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

/** @returns how deep the stacks go */
function draw(flame: Flame, x: number, level: number, scale: number, boxes: string[], all: number): number {
  const width = flame.total * scale;
  if (width < NARROWEST) return level;
  const y = level * ROW;
  const share = ((flame.total / all) * 100).toFixed(1);
  const letters = Math.floor(width / LETTER);
  const label = letters < FEWEST_LETTERS ? "" : flame.name.slice(0, letters);
  boxes.push(
    `<g><title>${escapeXml(`${flame.name} (${share} %)`)}</title>` +
      `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colourOf(flame.name)}"/>` +
      (label === "" ? "" : `<text x="${(x + 2).toFixed(1)}" y="${y + 11}">${escapeXml(label)}</text>`) +
      "</g>",
  );
  let deepest = level;
  const children = [...flame.children.values()].toSorted((a, b) => b.total - a.total);
  for (const child of children) {
    deepest = Math.max(deepest, draw(child, x, level + 1, scale, boxes, all));
    x += child.total * scale;
  }
  return deepest;
}

/** Our code orange, Node's and V8's grey, packages blue. */
function colourOf(name: string): string {
  if (/ {2}(?:src|gen|clients)\//.test(name)) return "#f2a65a";
  return / {2}(?:node:|\()|^\(/.test(name) ? "#d5d8dc" : "#9cc3e6";
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
