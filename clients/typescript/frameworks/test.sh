#!/usr/bin/env bash
# Tests the client's adapters with the real frameworks, which have a lock of their own and are installed here: `npm ci` at the root installs none.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
PATH="$root/node_modules/.bin:$PATH"
npm ci --prefix . --ignore-scripts --no-audit --no-fund --loglevel=error
tsc -p tsconfig.json --noEmit
vitest run --config vitest.config.ts "$@"
