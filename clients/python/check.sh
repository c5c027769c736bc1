#!/usr/bin/env bash
# Builds the package, installs the wheel in a new environment of each Python from 3.10 to 3.13 that is there, and runs the checks and tests.
set -euo pipefail
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The oldest and the newest run the tests that need no service; the machine's own runs everything.
own=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
environment() {
  "$1" -m venv "$2"
  "$2/bin/pip" install --quiet --disable-pip-version-check "$work"/dist/*.whl $(dependencies)
}
dependencies() {
  python3 - <<'PY'
import re
text = open("pyproject.toml").read().split("\ndev = [\n")[1].split("\n]")[0]
print(*re.findall(r'"([^"]+)"', text))
PY
}

python3 -m venv "$work/build"
"$work/build/bin/pip" install --quiet --disable-pip-version-check $(dependencies)
"$work/build/bin/python" -m build --no-isolation --outdir "$work/dist" .
files=$("$work/build/bin/python" -m zipfile -l "$work"/dist/*.whl)
for file in datacrawl/py.typed datacrawl/testing.py datacrawl/authz/v1/authorize_service_pb2.pyi; do
  grep -q "$file" <<<"$files" || { echo "the wheel lacks $file"; exit 1; }
done

environment python3 "$work/$own"
"$work/$own/bin/ruff" format --check .
"$work/$own/bin/ruff" check . ../../examples/python
"$work/$own/bin/mypy"

# A command may be there and only say that its version is not installed.
find_python() {
  for python in "python$1" "$HOME/.pyenv/versions/$1".*/bin/python; do
    if "$python" -c "" 2>/dev/null; then echo "$python"; return; fi
  done
}
for version in 3.10 3.13; do
  [ "$version" != "$own" ] || continue
  python=$(find_python "$version")
  [ -n "$python" ] || { echo "Python $version is not installed here"; continue; }
  environment "$python" "$work/$version"
  "$work/$version/bin/python" -m pytest -q -p no:cacheprovider --ignore tests/test_service.py
done

# Without PYTHONPATH: what is tested is the installed wheel.
cd "$repository"
TEST_PYTHON="$work/$own/bin/python" npx vitest run test/clients/python.test.ts
