#!/usr/bin/env bash
# Tries the proxy for MCP between the clients and servers of MCP's own SDKs, which are installed here, with locks of their own.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
PATH="$root/node_modules/.bin:$PATH"
npm ci --prefix . --ignore-scripts --no-audit --no-fund --loglevel=error
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
node run.ts
