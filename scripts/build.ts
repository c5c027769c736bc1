/**
 * Builds what is published. The package at the root is built into `dist`, each workspace package into a `dist` of its own, which
 * is a whole package: `npm pack ./clients/typescript/dist`.
 *
 * INVARIANT: a published package holds everything of ours that it runs. What it imports from another package of this repository
 * is compiled into it, so that its parts always have one version, and a tarball can be installed alone.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { build, type Rolldown } from "vite";

interface Manifest {
  readonly name: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

interface Workspace {
  readonly dir: string;
  readonly manifest: Manifest;
}

/** What a package of this repository is called in another package's tarball, by the folder of its sources. */
const FOLDERS: readonly (readonly [string, string])[] = [
  ["gen/", "proto/"],
  ["src/core/", "core/"],
  ["clients/typescript/src/", "client/"],
  ["conformance/src/", "conformance/"],
];

/** An import of ours: what stands before the quoted name, and the name. */
const SPECIFIER = /(^(?:import|export)\b[^;"]*?\bfrom |^import |\bimport\()"((?:\.|@datacrawl\/)[^"\n]+)"/gm;

process.chdir(join(import.meta.dirname, ".."));
const root = readManifest(".");
const workspaces = (root["workspaces"] as string[]).map((dir) => ({ dir, manifest: readManifest(dir) }));
const published = workspaces.filter(({ dir }) => dir !== "src/core");

for (const dir of [".", ...published.map((one) => one.dir)])
  rmSync(join(dir, "dist"), { recursive: true, force: true });
execFileSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" });
const compiled = new Map(
  readdirSync("dist", { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(js|d\.ts)$/.test(path))
    .map((path) => [path, withoutFailpoints(readFileSync(join("dist", path), "utf8"))]),
);
// A file that still imports them is refused below.
for (const path of compiled.keys()) {
  if (path.startsWith("src/core/failpoint.") && compiled.delete(path)) rmSync(join("dist", path));
}
for (const [path, text] of compiled)
  write(
    join("dist", path),
    relocate(path, text, (same) => same),
  );
for (const one of published) buildWorkspace(one);
await bundle("dist/src/quick.js");

/**
 * Puts everything that `entry` loads, of ours and of other packages, into that one file. Parts that are loaded later are files beside it.
 * What packages load by `require` alone stays where it is: it is optional.
 */
async function bundle(entry: string): Promise<void> {
  const made = await build({
    configFile: false,
    logLevel: "warn",
    publicDir: false,
    ssr: { noExternal: true },
    build: {
      ssr: entry,
      write: false,
      minify: false,
      target: "node22",
      rolldownOptions: { output: { format: "esm", chunkFileNames: "quick/[name]-[hash].js" } },
    },
  });
  for (const { output } of [made].flat() as Rolldown.RolldownOutput[])
    for (const file of output) if (file.type === "chunk") write(join(dirname(entry), file.fileName), file.code);
}

/** The package of a workspace: its own files at the top, and those of others that it imports in folders. */
function buildWorkspace({ dir, manifest }: Workspace): void {
  const sources = dir === "gen" ? "gen/" : `${dir}/src/`;
  const place = (path: string): string => {
    if (path.startsWith(sources)) return path.slice(sources.length);
    const folder = FOLDERS.find(([from]) => path.startsWith(from));
    if (folder === undefined) throw new Error(`${manifest.name} imports ${path}, which is no package's`);
    return folder[1] + path.slice(folder[0].length);
  };
  const entries = Object.entries(manifest.exports ?? {}).filter(([name]) => !name.startsWith("./internal/"));
  for (const path of reachable(entries.flatMap(([, target]) => filesOf(dir, target)))) {
    write(join(dir, "dist", place(path)), relocate(path, compiled.get(path) as string, place));
  }
  const exports = entries.map(([name, target]) => {
    const file = `./${place(join(dir, target)).replace(/\.ts$/, "")}`;
    return [name, { types: `${file}.d.ts`, default: `${file}.js` }];
  });
  const { private: _, scripts: __, devDependencies: ___, ...rest } = manifest;
  const all = { ...rest, exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" } };
  write(join(dir, "dist/package.json"), `${JSON.stringify(all, null, 2)}\n`);
  copyFileSync("LICENSE", join(dir, "dist/LICENSE"));
  if (existsSync(join(dir, "README.md"))) copyFileSync(join(dir, "README.md"), join(dir, "dist/README.md"));
}

function readManifest(dir: string): Manifest {
  return JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) as Manifest;
}

/** The compiled files of what a package exports, which may be a pattern. */
function filesOf(dir: string, target: string): string[] {
  const [before = "", after = ""] = join(dir, target).replace(/\.ts$/, "").split("*");
  return [...compiled.keys()].filter((path) => {
    const stem = path.replace(/(\.d\.ts|\.js)$/, "");
    return target.includes("*") ? stem.startsWith(before) && stem.endsWith(after) : stem === before;
  });
}

function reachable(entries: readonly string[]): Set<string> {
  const found = new Set<string>();
  const visit = (path: string): void => {
    if (found.has(path)) return;
    found.add(path);
    for (const [, , specifier] of (compiled.get(path) ?? "").matchAll(SPECIFIER)) {
      const target = targetOf(path, specifier as string);
      if (target !== null) visit(target);
    }
  };
  entries.forEach(visit);
  return found;
}

/** The text of `path` with every import of ours as a path between the places of the two files. */
function relocate(path: string, text: string, place: (path: string) => string): string {
  return text.replaceAll(SPECIFIER, (all, before: string, specifier: string) => {
    const target = targetOf(path, specifier);
    if (target === null) return all;
    const way = relative(dirname(place(path)), place(target)).replace(/\.d\.ts$/, ".js");
    return `${before}"${way.startsWith(".") ? way : `./${way}`}"`;
  });
}

/** The compiled file that an import leads to, for a declaration file the declarations; null if it is not ours. */
function targetOf(importer: string, specifier: string): string | null {
  const source = specifier.startsWith(".") ? join(dirname(importer), specifier) : sourceOf(specifier);
  const target = source.replace(/(\.d)?\.ts$|\.js$/, "") + (importer.endsWith(".d.ts") ? ".d.ts" : ".js");
  if (compiled.has(target)) return target;
  throw new Error(`dist/${importer} imports ${specifier}, which is not compiled`);
}

/** The source behind a package's name, by the exports of its workspace. */
function sourceOf(specifier: string): string {
  const name = specifier.split("/").slice(0, 2).join("/");
  const owner = workspaces.find(({ manifest }) => manifest.name === name);
  const asked = `.${specifier.slice(name.length)}`;
  for (const [key, target] of Object.entries(owner?.manifest.exports ?? {})) {
    const [before = "", after] = key.split("*");
    if (after === undefined ? asked === key : asked.startsWith(before)) {
      return join(owner?.dir ?? "", target.replace("*", asked.slice(before.length)));
    }
  }
  throw new Error(`no workspace exports ${specifier}`);
}

/** A failpoint lets an environment variable kill the process, which is for tests of this repository alone. */
function withoutFailpoints(text: string): string {
  return text.replaceAll(/^import \{ failpoint \} from "[^"]+";\n/gm, "").replaceAll(/\bfailpoint\([^()]*\);/g, ";");
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
