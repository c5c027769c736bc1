"""Judges files by clients/python-verify/datacrawl_verify.py: for each JSON line on stdin, {"file": base64, "changes": [[at, xor]]},
one JSON line with the outcome of the file as it is and of each change: null, or [line, step] of the first problem and how many."""
import base64
import json
import sys
import tempfile

sys.path.insert(0, "clients/python-verify")
import datacrawl_verify as verifier

keys = [verifier.parse_key(sys.argv[1])]


def outcome(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        _, problems = verifier.verify_file(file.name, keys)
    return [problems[0]["line"], problems[0]["step"], len(problems)] if problems else None


for line in sys.stdin:
    case = json.loads(line)
    whole = base64.b64decode(case["file"])
    outcomes = [outcome(whole)]
    for at, xor in case["changes"]:
        changed = bytearray(whole)
        changed[at] ^= xor
        outcomes.append(outcome(bytes(changed)))
    print(json.dumps(outcomes))
