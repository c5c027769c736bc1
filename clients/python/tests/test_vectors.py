"""The vectors that all languages share: clients/vectors/README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datacrawl._canonical import canonical_json, derived_key
from datacrawl._circuit import Circuit, CircuitConfig
from datacrawl._outcome import STATUSES, Ended, Failure, count_of, failure_of_status
from datacrawl._question import NotAQuestion, Question, read_question

VECTORS = Path(__file__).resolve().parents[2] / "vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


CANONICAL = vectors("canonical-json.json")
CIRCUIT = vectors("circuit.json")


def question(payload: object = None, **fields: object) -> Question:
    asked: dict[str, object] = {
        "tool": "tool",
        "idempotency_key": None,
        "principal": None,
        "session_id": None,
        **fields,
    }
    return read_question("agent", payload=payload, **asked)


def accepts(payload: object = None, **fields: object) -> bool:
    try:
        question(payload, **fields)
    except NotAQuestion:
        return False
    return True


@pytest.mark.parametrize("case", CANONICAL["values"], ids=lambda case: case["name"])
def test_writes_canonical_json(case: Any) -> None:
    value = json.loads(case["json"])
    assert canonical_json(value) == case["canonical"]
    assert accepts({"value": value})


def test_writes_fractions_of_all_magnitudes() -> None:
    wrong = [case for case in CANONICAL["fractions"] if canonical_json(json.loads(case["json"])) != case["canonical"]]
    assert wrong == []
    assert len(CANONICAL["fractions"]) >= 300


@pytest.mark.parametrize("case", CANONICAL["inexactIntegers"], ids=lambda case: case["json"])
def test_refuses_integers_that_a_double_does_not_hold_alone(case: Any) -> None:
    value = json.loads(case["json"])
    assert canonical_json(float(value)) == case["canonical"]
    assert not accepts({"value": value})
    assert not accepts({"value": float(value)})


@pytest.mark.parametrize("case", CANONICAL["refused"], ids=lambda case: case["name"])
def test_refuses_payloads(case: Any) -> None:
    assert not accepts(json.loads(case["json"]))


@pytest.mark.parametrize("case", CANONICAL["depths"], ids=lambda case: f"{case['of']} {case['depth']}")
def test_bounds_the_depth_of_payloads(case: Any) -> None:
    value: Any = {} if case["of"] == "objects" or case["depth"] == 1 else []
    for level in range(1, case["depth"]):
        value = {"a": value} if case["of"] == "objects" or level == case["depth"] - 1 else [value]
    assert accepts(value) is case["accepted"]


@pytest.mark.parametrize("case", CANONICAL["sizes"], ids=lambda case: f"{case['unit']!a} {case['times']}")
def test_bounds_the_size_of_payloads(case: Any) -> None:
    assert accepts({"a": case["unit"] * case["times"]}) is case["accepted"]


@pytest.mark.parametrize("case", vectors("derived-key.json")["keys"], ids=lambda case: case["name"])
def test_derives_keys(case: Any) -> None:
    payload, principal = json.loads(case["payload"]), case["principal"]
    asked = read_question(
        case["agent"], tool=case["tool"], payload=payload, idempotency_key=None, principal=principal, session_id="run"
    )
    assert asked.idempotency_key == case["key"]
    assert (
        canonical_json(
            {"agent": case["agent"], "payload": payload, "tool": case["tool"]}
            | ({} if principal is None else {"principal": principal})
        )
        == case["hashed"]
    )
    assert case["key"] == derived_key(
        agent_id=case["agent"], tool=case["tool"], canonical_payload=canonical_json(payload), principal=principal
    )


@pytest.mark.parametrize("case", vectors("request.json")["texts"], ids=lambda case: f"{case['field']} {case['name']}")
def test_checks_the_texts_of_a_request(case: Any) -> None:
    assert accepts(**{case["field"]: case["unit"] * case["times"]}) is case["accepted"]


@pytest.mark.parametrize("case", CIRCUIT["sequences"], ids=lambda case: case["name"])
def test_plays_the_sequences_of_the_circuit(case: Any) -> None:
    now, roll = 0.0, 0.0
    config = case["config"]
    settings = CircuitConfig(config["failures"], config["probeAfterMs"], config["rampMs"])
    assert settings.lease_ms == config["leaseMs"]
    circuit = Circuit(settings, lambda: now, lambda: roll)
    permits = {}
    for index, event in enumerate(case["events"]):
        now, roll = event["at"], event["roll"]
        if event["do"] == "permit":
            permit = permits[index] = circuit.permit()
            assert permit.kind == event["permit"], f"event {index}"
            if permit.kind == "denied":
                assert permit.retry_in_ms == event["retryInMs"], f"event {index}"
            if permit.kind == "probe":
                assert permit.lease_ms == config["leaseMs"]
        else:
            circuit.report(permits[event["of"]], event["outcome"], "it failed")
        snapshot = circuit.snapshot
        assert (snapshot.state, snapshot.consecutive_failures) == (event["state"], event["failures"]), f"event {index}"


# A cancellation is an exception here: tests/test_faults.py.
@pytest.mark.parametrize("case", [case for case in CIRCUIT["counts"] if case["end"] != "cancelled"], ids=str)
def test_counts_a_call_by_how_it_ended(case: Any) -> None:
    ended = None
    if case["end"] != "answered":
        ended = Ended(Failure(case["end"], busy=case["busy"]), case["tookMs"] / 1000, case["failedBefore"])
    assert count_of(ended, probe=case["probe"]) == case["counts"]


@pytest.mark.parametrize("case", CIRCUIT["statuses"], ids=lambda case: case["status"])
def test_knows_what_each_status_means(case: Any) -> None:
    assert STATUSES[case["number"]] == case["status"]
    failure = failure_of_status(case["status"], "")
    assert (failure.kind, failure.code) == (case["end"], case["code"])
