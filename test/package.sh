#!/usr/bin/env bash
# Packs the package, installs it into an empty project, and runs the service from there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
service=""
trap '[ -z "$service" ] || kill "$service" 2>/dev/null || true; rm -rf "$work"' EXIT

# Packing builds.
(cd "$root" && npm pack --silent --pack-destination "$work" && npx publint --strict)
cd "$work"
npm init -y >/dev/null
# The project's own Node, which the machine may not have.
PATH="$root/node_modules/.bin:$PATH"
npm install --no-save ./datacrawl-*.tgz >/dev/null
./node_modules/.bin/datacrawl --version
./node_modules/.bin/datacrawl policy test node_modules/datacrawl/policies
DATACRAWL_GRPC_ADDR=127.0.0.1:0 DATACRAWL_CONNECT_ADDR=127.0.0.1:0 DATACRAWL_ADMIN_ADDR=127.0.0.1:0 ./node_modules/.bin/datacrawl serve >out 2>err &
service=$!
for _ in $(seq 300); do grep -q '^curl' out && break; sleep 0.2; done
answer=$(bash -c "$(sed -n '/^curl/,$p' out)")
echo "$answer"
case "$answer" in *DECISION_ALLOW*) ;; *) echo "no allow from the installed package" >&2; cat out err >&2; exit 1 ;; esac
dashboard=$(sed -n 's/^ *Admin *\(http:[^,]*\),.*/\1/p' out)
case "$(curl -sS "$dashboard/")" in *'<div id="root">'*) ;; *) echo "no dashboard from the installed package" >&2; cat out >&2; exit 1 ;; esac
node --input-type=module -e 'const { DataCrawl } = await import("datacrawl"); if (typeof DataCrawl !== "function") process.exit(1)'
kill -TERM "$service"
wait "$service"
service=""
echo "the package installs, runs and stops"
