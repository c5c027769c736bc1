"""Takes one safeguard away after the other, in a copy, and says which ones the tests do not miss.

python3 clients/python/tests/mutants.py [NAME…]
"""

# ruff: noqa: E501

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[1]


class Mutant(NamedTuple):
    safeguard: str
    file: str
    search: str
    """There exactly once in the file."""
    replace: str
    suite: str
    """The fastest that should notice."""


MUTANTS = [
    Mutant(
        "an echo is compared",
        "_answers.py",
        '        if unverified.get(name) != value:\n            raise _Wrong(f"the answer is for another',
        '        if False:\n            raise _Wrong(f"the answer is for another',
        "test_authorize.py",
    ),
    Mutant(
        "the reason agrees with the decision",
        "_answers.py",
        "if DECISION_OF[reason] != decision:",
        "if False:",
        "test_authorize.py",
    ),
    Mutant(
        "a guard's answer is not a service's",
        "_answers.py",
        'if source is None or (source == "guard" and not expected.sidecar):',
        "if source is None:",
        "test_authorize.py",
    ),
    Mutant(
        "the agent is compared",
        "_answers.py",
        'if expected.agent_id and unverified.text("agent_id") != expected.agent_id:',
        "if False:",
        "test_authorize.py",
    ),
    Mutant(
        "the decision's id is a UUID",
        "_answers.py",
        'if not UUID.fullmatch(unverified.text("decision_id")):',
        "if False:",
        "test_authorize.py",
    ),
    Mutant(
        "nothing follows a final answer",
        "_answers.py",
        'if verdict is not None and verdict.decision != "needs_review":',
        "if False:",
        "test_executions.py",
    ),
    Mutant(
        "what has ended is not run",
        "_answers.py",
        "if is_started and outcome is None:",
        "if is_started:",
        "test_executions.py",
    ),
    Mutant(
        "the execution's id agrees with the state",
        "_answers.py",
        '    if is_started != (execution_id != ""):',
        "    if False:",
        "test_executions.py",
    ),
    Mutant(
        "only allow is permission",
        "_verdict.py",
        'return decision == "allow"',
        'return decision != "deny"',
        "test_authorize.py",
    ),
    Mutant(
        "a deny is not true",
        "_verdict.py",
        '    def __bool__(self) -> bool:\n        """As `allowed`, so that `if verdict:` is not true for a deny."""\n        return self.allowed\n',
        "",
        "test_authorize.py",
    ),
    Mutant("at most three attempts", "_guard.py", "MAX_ATTEMPTS = 3", "MAX_ATTEMPTS = 4", "test_authorize.py"),
    Mutant(
        "each attempt has a nonce of its own",
        "_guard.py",
        "        async def attempt(until: Deadline) -> Verdict | Failure:\n            nonce = secrets.token_bytes(16)",
        "        nonce = secrets.token_bytes(16)\n\n        async def attempt(until: Deadline) -> Verdict | Failure:",
        "test_authorize.py",
    ),
    Mutant(
        "a sidecar that has tried is not asked again",
        "_guard.py",
        'again = answer.kind == "unavailable" and not (self._settings.sidecar and answer.said)',
        'again = answer.kind == "unavailable"',
        "test_authorize.py",
    ),
    Mutant(
        "a cancellation counts nothing",
        "_guard.py",
        '        outcome: Outcome = "ignored"',
        '        outcome: Outcome = "failure"',
        "test_faults.py",
    ),
    Mutant(
        "only an allow is started",
        "_guard.py",
        "            if not is_allow(verdict.decision):\n",
        "            if False:\n",
        "test_executions.py",
    ),
    Mutant(
        "a forked process starts afresh",
        "_guard.py",
        "os.register_at_fork(after_in_child=_after_fork)",
        "pass",
        "test_faults.py",
    ),
    Mutant(
        "a forked process closes its parent's connections",
        "_transport.py",
        "        connections, self._all = self._all, set()\n        for connection in connections:\n            with contextlib.suppress(OSError):",
        "        for connection in ():\n            with contextlib.suppress(OSError):",
        "test_faults.py",
    ),
    Mutant(
        "a late answer does not count",
        "_transport.py",
        '        if deadline.passed:\n            return Failure("deadline", busy',
        '        if False:\n            return Failure("deadline", busy',
        "test_faults.py",
    ),
    Mutant(
        "a busy process does not blame the service",
        "_transport.py",
        "busy=deadline.left < -_BUSY_SECONDS",
        "busy=False",
        "test_faults.py",
    ),
    Mutant(
        "connections are given back",
        "_transport.py",
        "        finally:\n            self._give_back(connection)",
        "        finally:\n            pass",
        "test_authorize.py",
    ),
    Mutant(
        "this machine needs no resolver",
        "_transport.py",
        '        if host == "localhost":',
        "        if False:",
        "test_faults.py",
    ),
    Mutant(
        "a read ends by the deadline",
        "_io.py",
        "        sock.settimeout(deadline.remaining())",
        "        sock.settimeout(None)",
        "test_faults.py",
    ),
    Mutant(
        "a thread is not waited for beyond the deadline",
        "_io.py",
        "        if not thread.done.wait(deadline.remaining()):",
        "        if not thread.done.wait():",
        "test_faults.py",
    ),
    Mutant(
        "what waits is cancelled at the deadline",
        "_io.py",
        "            task.cancel()\n            if settle:",
        "            if settle:",
        "test_faults.py",
    ),
    Mutant("a field comes once", "_wire.py", "if name in values:", "if False:", "test_reading.py"),
    Mutant("a varint has its shortest form", "_wire.py", "if byte == 0 and index > 0:", "if False:", "test_reading.py"),
    Mutant(
        "names are sorted by UTF-16", "_canonical.py", "sorted(value, key=_utf16)", "sorted(value)", "test_vectors.py"
    ),
    Mutant(
        "small fractions are written as ECMAScript does",
        "_canonical.py",
        "if -6 < point <= 0:",
        "if -7 < point <= 0:",
        "test_vectors.py",
    ),
    Mutant("integers are exact", "_json.py", "if abs(number) > _MAX_EXACT_INTEGER:", "if False:", "test_authorize.py"),
    Mutant("numbers are finite", "_json.py", "    if not math.isfinite(number):", "    if False:", "test_authorize.py"),
    Mutant(
        "a subclass cannot pretend",
        "_json.py",
        "for name, member in dict.items(members):",
        "for name, member in members.items():",
        "test_authorize.py",
    ),
    Mutant("the depth is bounded", "_json.py", "    if depth < 1:", "    if False:", "test_authorize.py"),
    Mutant(
        "only started runs",
        "_protect.py",
        '        if start.state == "started":',
        '        if start.state != "refused":',
        "test_executions.py",
    ),
    Mutant(
        "a review is no allow",
        "_protect.py",
        "        if not is_json or not verdict.allowed:",
        '        if not is_json or verdict.decision == "deny":',
        "test_executions.py",
    ),
    Mutant(
        "the function gets what was allowed",
        "_protect.py",
        "        if not own:\n            for",
        "        if False:\n            for",
        "test_executions.py",
    ),
    Mutant(
        "what was broken off is unknown",
        "_protect.py",
        '"unknown" if _is_broken_off(error) else "failed"',
        '"failed"',
        "test_executions.py",
    ),
    Mutant(
        "a cancelled coroutine is reported",
        "_protect.py",
        "        except BaseException as error:\n            if execution is not None:",
        "        except Exception as error:\n            if execution is not None:",
        "test_executions.py",
    ),
    Mutant(
        "the content type is gRPC's",
        "_grpc.py",
        "    if content_type not in _CONTENT_TYPES:",
        "    if content_type is None:",
        "test_reading.py",
    ),
    Mutant(
        "there is one message",
        "_grpc.py",
        "    if len(messages) > 1 and not streams:",
        "    if False:",
        "test_reading.py",
    ),
    Mutant(
        "a token has half of the time",
        "_credentials.py",
        "deadline.within(deadline.remaining() / 2)",
        "deadline",
        "test_authorize.py",
    ),
    Mutant(
        "certificates are verified",
        "_credentials.py",
        "context = ssl.create_default_context(cafile=ca_file)",
        "context = ssl.create_default_context(cafile=ca_file); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE",
        "test_options.py",
    ),
    Mutant(
        "names of certificates are verified",
        "_credentials.py",
        "context = ssl.create_default_context(cafile=ca_file)",
        "context = ssl.create_default_context(cafile=ca_file); context.check_hostname = False",
        "test_options.py",
    ),
    Mutant(
        "the server speaks HTTP/2",
        "_connection.py",
        'if secure.selected_alpn_protocol() != "h2":',
        "if False:",
        "test_options.py",
    ),
    Mutant(
        "plain text is for this machine alone",
        "_options.py",
        "elif not secure and not _is_loopback(host):",
        "elif False:",
        "test_options.py",
    ),
    Mutant(
        "a sidecar is not sent the environment's credential",
        "_options.py",
        "and not asks_sidecar:",
        ":",
        "test_authorize.py",
    ),
    Mutant(
        "a late result counts nothing",
        "_circuit.py",
        "            if permit.generation != self._state.generation:",
        "            if False:",
        "test_vectors.py",
    ),
    Mutant(
        "a result counts once",
        "_circuit.py",
        'if permit.kind == "denied" or permit.reported:',
        'if permit.kind == "denied":',
        "test_vectors.py",
    ),
    Mutant(
        "a refusal ends a probe well",
        "_outcome.py",
        'return "success" if probe else "ignored"',
        'return "ignored"',
        "test_authorize.py",
    ),
    Mutant(
        "a traceparent is well-formed",
        "_trace.py",
        "return given if isinstance(given, str) and _TRACEPARENT.fullmatch(given) else None",
        "return given",
        "test_authorize.py",
    ),
    Mutant(
        "a hook's errors change nothing",
        "_client.py",
        '            except Exception:\n                self._logger.exception("on_verdict raised an error")',
        "            except KeyError:\n                pass",
        "test_authorize.py",
    ),
    Mutant(
        "the fake denies by default",
        "testing.py",
        '_REASONS.get(decision or "", "NO_MATCHING_RULE")',
        '_REASONS.get(decision or "allow", "RULE_ALLOWED")',
        "test_executions.py",
    ),
    Mutant(
        "a tool gets a copy of what was judged",
        "integrations/_judge.py",
        'return replace(call, arguments=plain_copy(call.arguments, "arguments"))',
        "return call",
        "test_judge.py",
    ),
    Mutant(
        "an option changes nothing of what a tool gets",
        "integrations/_judge.py",
        "seen = replace(call, arguments=copy.deepcopy(call.arguments))",
        "seen = call",
        "test_judge.py",
    ),
    Mutant(
        "a key is text",
        "integrations/_judge.py",
        "    if not isinstance(key, str):\n        raise _Unreadable",
        "    if False:\n        raise _Unreadable",
        "test_judge.py",
    ),
    Mutant(
        "a call without an id is not asked about",
        "integrations/_judge.py",
        "if not call.run_id or not call.call_id:",
        "if False:",
        "test_judge.py",
    ),
    Mutant(
        "a tool call is started once",
        "integrations/_judge.py",
        "once=settings.once,",
        "once=False,",
        "test_judge.py",
    ),
    Mutant(
        "a review is waited for",
        "integrations/_judge.py",
        'on_review="wait" if settings.review_timeout > 0 else "deny",',
        'on_review="deny",',
        "test_judge.py",
    ),
    Mutant(
        "what the tool raises is raised",
        "integrations/_judge.py",
        "            if attempt.entered:\n                raise\n            return self._refusal(attempt.call, error)\n\n    @contextlib",
        "            return self._refusal(attempt.call, error)\n\n    @contextlib",
        "test_judge.py",
    ),
    Mutant(
        "a failed result is reported as failed",
        "integrations/_judge.py",
        "        if self._failed(result):",
        "        if False:",
        "test_judge.py",
    ),
    Mutant(
        "a self-test's tool must not run",
        "integrations/_judge.py",
        "        if self.ran:\n",
        "        if False:\n",
        "test_judge.py",
    ),
    Mutant(
        "a self-test must be asked about",
        "integrations/_judge.py",
        "        if not self.refusals:\n            raise SelfTestError",
        "        if False:\n            raise SelfTestError",
        "test_judge.py",
    ),
    Mutant(
        "a self-test needs the service's deny",
        "integrations/_judge.py",
        'refusal.verdict.source != "service"',
        'refusal.verdict.source == ""',
        "test_judge.py",
    ),
    Mutant(
        "a report is finished although its task is cancelled",
        "_io.py",
        "        except asyncio.CancelledError as error:\n            cancelled = error\n",
        "        except asyncio.CancelledError:\n            task.cancel()\n            raise\n",
        "test_judge.py",
    ),
    Mutant(
        "a self-test asks under its own name",
        "integrations/_judge.py",
        "        if any(call.tool == test.tool and not call.arguments for test in self._tests):",
        "        if False:",
        "test_judge.py",
    ),
]


def survives(mutant: Mutant, directory: Path) -> bool:
    """Whether the tests pass without the safeguard."""
    copy = directory / "clients" / "python"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "dist")
    shutil.copytree(PACKAGE, copy, ignore=ignored)
    shutil.copytree(PACKAGE.parent / "vectors", copy.parent / "vectors")
    file = copy / "src" / "datacrawl" / mutant.file
    file.write_text(file.read_text().replace(mutant.search, mutant.replace, 1))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{mutant.suite}"]
    try:
        ran = subprocess.run(
            command, cwd=copy, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return ran.returncode == 0


def main() -> None:
    wanted = sys.argv[1:]
    survivors = []
    for mutant in MUTANTS:
        if wanted and mutant.safeguard not in wanted:
            continue
        with tempfile.TemporaryDirectory() as directory:
            alive = survives(mutant, Path(directory))
        print("SURVIVES" if alive else "noticed ", mutant.safeguard, flush=True)
        survivors += [mutant.safeguard] if alive else []
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
