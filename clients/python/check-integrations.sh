#!/usr/bin/env bash
# Tests the adapters of agent frameworks. Each framework has an environment of its own, with exact versions of all that it needs, and the wheel.
#
# check-integrations.sh [NAME…]        runs the tests of these frameworks, or of all
# check-integrations.sh --pin [NAME…]  chooses the versions again, from the ones below
set -euo pipefail
cd "$(dirname "$0")"

declare -A frameworks=(
  [claude_agent_sdk]="claude-agent-sdk==0.2.189"
  [crewai]="crewai==1.15.30"
  [google_adk]="google-adk==2.13.0"
  [langchain]="langchain==1.5.2"
  [openai_agents]="openai-agents==0.24.0"
  [pydantic_ai]="pydantic-ai-slim==2.68.0"
)
tests="pytest==9.2.0 protobuf==7.36.2 h2==4.4.1"

pin=false
if [ "${1:-}" = --pin ]; then pin=true; shift; fi
names=("$@")
if [ ${#names[@]} -eq 0 ]; then mapfile -t names < <(printf '%s\n' "${!frameworks[@]}" | sort); fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/uv"
"$work/uv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
uv="$work/uv/bin/uv"

if $pin; then
  for name in "${names[@]}"; do
    printf '%s\n' ${frameworks[$name]} $tests |
      "$uv" pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 -o "tests/integrations/pins/$name.txt" -
  done
  exit
fi

"$uv" build --quiet --wheel --out-dir "$work/dist" .

check() {
  local name=$1 started=$SECONDS python="$work/$1/bin/python"
  "$uv" venv --quiet --python python3 "$work/$name"
  "$uv" pip install --quiet --python "$python" -r "tests/integrations/pins/$name.txt" "$(echo "$work"/dist/*.whl)[${name//_/-}]"
  local installed=$((SECONDS - started)) status=0
  # Frameworks warn of their own dependencies.
  "$python" -m pytest -q -p no:cacheprovider -o filterwarnings=default --disable-warnings \
    "tests/integrations/test_$name.py" >"$work/$name.log" 2>&1 || status=$?
  echo "=== $name (installed in $installed s, tested in $((SECONDS - started - installed)) s)"
  cat "$work/$name.log"
  [ $status -eq 0 ] || touch "$work/failed"
  rm -rf "${work:?}/$name"
}

# Two at a time: they wait for each other's service less than for the processor.
for name in "${names[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || touch "$work/failed"; done
  check "$name" &
done
while [ -n "$(jobs -p)" ]; do wait -n || touch "$work/failed"; done
[ ! -e "$work/failed" ]
