/**
 * Generates the stubs of the contract for Go, Java and Python: `npm run proto:generate:clients`.
 *
 * It needs `go`, `mvn`, and a Python with grpcio-tools in `.venv`. The plugins come from the package registries, in the versions named
 * here, and are kept in `.cache/stubs`. The committed code is what these versions generate.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const GO_PLUGINS = [
  "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
  "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
];
/** Group, artifact, version. */
const MAVEN_PLUGINS = [
  ["com.google.protobuf", "protoc", "4.36.2"],
  ["io.grpc", "protoc-gen-grpc-java", "1.83.0"],
] as const;
const GRPCIO_TOOLS = "1.85.1";

/** What agents call. The operators' services stay out of a package that agents install. */
const PROTOS = ["authorize_service", "decision", "execution", "watch"].map(
  (name) => `proto/datacrawl/authz/v1/${name}.proto`,
);

/** What each language generates. Nothing else is in these folders. */
const GO = "clients/go/proto/datacrawl";
const JAVA = "clients/java/src/main/java/dev/datacrawl/authz";
const PYTHON_ROOT = "clients/python/src";
const PYTHON = `${PYTHON_ROOT}/datacrawl/authz`;

process.chdir(join(import.meta.dirname, ".."));
const cache = resolve(".cache/stubs");
installPlugins();
for (const dir of [GO, JAVA, PYTHON]) rmSync(dir, { recursive: true, force: true });
run("buf", ["generate", "--template", "buf.gen.clients.yaml", ...PROTOS.flatMap((proto) => ["--path", proto])]);
generatePython();

/** Each time the same versions; those that are in the cache are not fetched again. */
function installPlugins(): void {
  const versions = JSON.stringify([GO_PLUGINS, MAVEN_PLUGINS, platform()]);
  const installed = join(cache, "installed.json");
  if (readIfThere(installed) === versions) return;
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  for (const plugin of GO_PLUGINS) run("go", ["install", plugin], { GOBIN: cache });
  for (const [group, artifact, version] of MAVEN_PLUGINS) {
    const name = `${group}:${artifact}:${version}:exe:${platform()}`;
    run("mvn", ["-q", "-B", "dependency:copy", `-Dartifact=${name}`, `-DoutputDirectory=${cache}`]);
    const file = join(cache, artifact);
    copyFileSync(join(cache, `${artifact}-${version}-${platform()}.exe`), file);
    chmodSync(file, 0o755);
  }
  writeFileSync(installed, versions);
}

/** What Maven's artifacts call this machine. */
function platform(): string {
  const os = process.platform === "darwin" ? "osx" : process.platform;
  return `${os}-${process.arch === "arm64" ? "aarch_64" : "x86_64"}`;
}

/** The contract's package `datacrawl.authz.v1` is one of the Python package `datacrawl`, so protoc's imports are right as they are. */
function generatePython(): void {
  const python = resolve(".venv/bin/python");
  const found = run(python, ["-c", "from importlib.metadata import version; print(version('grpcio-tools'))"]).trim();
  if (found !== GRPCIO_TOOLS) throw new Error(`.venv has grpcio-tools ${found}, these stubs need ${GRPCIO_TOOLS}`);
  mkdirSync(PYTHON_ROOT, { recursive: true });
  const outputs = (...kinds: readonly string[]) => kinds.map((kind) => `--${kind}_out=${PYTHON_ROOT}`);
  run(python, ["-m", "grpc_tools.protoc", "-Iproto", ...outputs("python", "pyi"), ...PROTOS]);
  // Of a file without a service it would make an empty module.
  run(python, ["-m", "grpc_tools.protoc", "-Iproto", ...outputs("grpc_python"), PROTOS[0] as string]);
  writeFileSync(`${PYTHON}/__init__.py`, '"""The contract\'s packages."""\n');
  writeFileSync(`${PYTHON}/v1/__init__.py`, '"""Generated stubs of the contract, datacrawl.authz.v1."""\n');
}

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  return execFileSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
