#!/usr/bin/env bash
# Packs the packages, installs each tarball alone into an empty project, and uses it from there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
service=""
trap '[ -z "$service" ] || kill "$service" 2>/dev/null || true; rm -rf "$work"' EXIT

fail() { echo "$1" >&2; exit 1; }
# Installs a tarball into an empty project: empty <project> <tarball>
empty() { mkdir "$work/$1"; cd "$work/$1"; npm init -y >/dev/null; npm install --no-save --loglevel=error "$2" >/dev/null; }

# Packing the root builds all of them.
cd "$root"
npm pack --silent --pack-destination "$work" >/dev/null
for dir in gen clients/typescript conformance; do
  npm pack --silent --pack-destination "$work" "./$dir/dist" >/dev/null
  npx publint --strict "$dir/dist"
done
npx publint --strict
for tarball in "$work"/datacrawl-client-*.tgz "$work"/datacrawl-conformance-*.tgz; do
  npx attw --profile node16 --ignore-rules cjs-resolves-to-esm -- "$tarball"
done
if grep -rlE 'DATACRAWL_TEST_FAILPOINT|\bfailpoint\(' dist gen/dist clients/typescript/dist conformance/dist; then fail "a failpoint is published"; fi
# The project's own Node, which the machine may not have.
PATH="$root/node_modules/.bin:$PATH"

# The service.
empty service "$work"/datacrawl-[0-9]*.tgz
./node_modules/.bin/datacrawl --version
./node_modules/.bin/datacrawl policy test node_modules/datacrawl/policies
DATACRAWL_GRPC_ADDR=127.0.0.1:0 DATACRAWL_CONNECT_ADDR=127.0.0.1:0 DATACRAWL_ADMIN_ADDR=127.0.0.1:0 ./node_modules/.bin/datacrawl serve >out 2>err &
service=$!
for _ in $(seq 300); do grep -q '^curl' out && break; sleep 0.2; done
answer=$(bash -c "$(sed -n '/^curl/,$p' out)")
echo "$answer"
case "$answer" in *DECISION_ALLOW*) ;; *) cat out err >&2; fail "no allow from the installed package" ;; esac
dashboard=$(sed -n 's/^ *Admin *\(http:[^,]*\),.*/\1/p' out)
case "$(curl -sS "$dashboard/")" in *'<div id="root">'*) ;; *) cat out >&2; fail "no dashboard from the installed package" ;; esac

# A hook, which asks it: a few files. As modules of their own it would load two hundred.
event='{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"mcp__gmail__send_email","tool_input":{"to":["ann@example.com"]},"tool_use_id":"t"}'
address=http://$(sed -n 's/^ *gRPC *\([^ ]*\).*/\1/p' out)
cat >count.mjs <<'JS'
import { registerHooks } from "node:module";
let files = 0;
registerHooks({ load(url, context, next) { if (url.startsWith("file:")) files += 1; return next(url, context); } });
process.on("exit", () => process.stderr.write(`${files}\n`));
JS
hooked=$(NODE_OPTIONS="--import=$PWD/count.mjs" ./node_modules/.bin/datacrawl hook claude-code --url "$address" --key-file data/demo-agent.key <<<"$event" 2>files)
echo "the hook loads $(cat files) files: $hooked"
case "$hooked" in *updatedInput*) ;; *) fail "no allow from the hook" ;; esac
[ "$(cat files)" -le 20 ] || fail "the hook loads too many files"

# The client, which asks it.
empty client "$work"/datacrawl-client-*.tgz
packages=$(find node_modules -name package.json -path '*node_modules/*' | grep -cE 'node_modules/(@[^/]+/)?[^/@]+/package\.json$')
size=$(du -sk node_modules | cut -f1)
echo "the client is $packages packages and $size KiB"
[ "$packages" -le 8 ] && [ "$size" -le 6144 ] || fail "the client is too heavy"
export DATACRAWL_URL DATACRAWL_API_KEY
DATACRAWL_URL=$(sed -n 's/^ *Connect *\(http:[^ ,]*\).*/\1/p' ../service/out)
DATACRAWL_API_KEY=$(cat ../service/data/demo-agent.key)
cat >ask.mjs <<'JS'
import { DataCrawl } from "@datacrawl/client";
const [, , grpcUrl, tool, payload] = process.argv;
// Over both transports, and with a journal, for which the runtime needs SQLite.
for (const options of [{ transport: "connect" }, { url: grpcUrl }, { url: grpcUrl, journalDir: "journal" }]) {
  const datacrawl = new DataCrawl(options);
  const { decision, reason } = await datacrawl.authorize({ tool, payload: JSON.parse(payload) });
  console.log(decision, reason, ...(datacrawl.status?.problems ?? ["not open"]));
  await datacrawl.close();
}
JS
grpc=http://$(sed -n 's/^ *gRPC *\([^ ]*\).*/\1/p' ../service/out)
tool=$(sed -n 's/.*"tool": *"\([^"]*\)".*/\1/p' ../service/out)
payload=$(sed -n 's/.*"payload": *\({[^}]*}\).*/\1/p' ../service/out)
# The client under a runtime: under <name> <command of the runtime…>
under() {
  local name=$1 asked
  shift
  asked=$("$@" ask.mjs "$grpc" "$tool" "$payload")
  echo "$name: ${asked//$'\n'/, }"
  [ "$asked" = $'allow RULE_ALLOWED\nallow RULE_ALLOWED\nallow RULE_ALLOWED' ] || fail "no allow through the installed client under $name"
}
under "the project's Node" node
node --input-type=commonjs -e 'const { DataCrawl } = require("@datacrawl/client"); if (typeof DataCrawl !== "function") process.exit(1)'
refused=$(node --input-type=module -e 'import { DataCrawl } from "@datacrawl/client"; try { new DataCrawl({ redisUrl: "redis://127.0.0.1" }) } catch (error) { console.log(error.message) }')
case "$refused" in *"npm install ioredis"*) ;; *) fail "redisUrl without ioredis: $refused" ;; esac

# The client under other runtimes, which npm installs. The kit's cases about TLS and connections show whether they verify certificates.
case $(uname -m) in aarch64) cpu=arm64 bun=aarch64 ;; *) cpu=x64 bun=x64 ;; esac
sed 's#"../src/index.ts"#"@datacrawl/client"#' "$root/clients/typescript/test/conformance-adapter.ts" >adapter.mts
# elsewhere <name> <package> <path of the program in it> <its arguments…>
elsewhere() {
  local name=$1 package=$2 program=$3
  shift 3
  (empty "$name" "$package")
  program=$work/$name/node_modules/$program
  under "$name" "$program" "$@"
  for transport in grpc connect-proto; do
    ../service/node_modules/.bin/datacrawl conformance run --transport $transport --family tls connection \
      --client "$program $* $work/client/adapter.mts" | grep -E "^(FAIL|all)"
  done
}
elsewhere node22 "node-linux-$cpu@22.23.5" "node-linux-$cpu/bin/node"
elsewhere node24 "node-linux-$cpu@24.22.3" "node-linux-$cpu/bin/node"
elsewhere bun "@oven/bun-linux-$bun@1.4.5" "@oven/bun-linux-$bun/bin/bun"
elsewhere deno "@deno/linux-$cpu-glibc@2.9.6" "@deno/linux-$cpu-glibc/deno" run --allow-all

# The conformance kit.
empty conformance "$work"/datacrawl-conformance-*.tgz
node --input-type=module -e '
import { CASES, serveConformance, systemClock } from "@datacrawl/conformance";
const server = await serveConformance({ grpcAddr: "127.0.0.1:0", connectAddr: "127.0.0.1:0", clock: systemClock });
console.log(`${CASES.length} cases, ${Object.keys(server.endpoints).length} endpoints`);
await server.close();'

kill -TERM "$service"
wait "$service"
service=""
echo "the packages install, run and stop"
