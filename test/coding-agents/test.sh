#!/usr/bin/env bash
# Tests the hooks with the coding agents themselves, which have a lock of their own and are installed here: `npm ci` at the root installs none.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
PATH="$root/node_modules/.bin:$PATH"
npm ci --prefix . --ignore-scripts --no-audit --no-fund --loglevel=error
cd "$root"
vitest run --config test/coding-agents/vitest.config.ts "$@"
