#!/usr/bin/env python3
"""Verifies proofs and exports of a DataCrawl audit trail. Needs nothing of DataCrawl, nor a network.

    datacrawl_verify.py FILE --key KEY [--key KEY ...] [--json]

FILE is what `datacrawl audit prove`, `audit prove-consistency` or `audit export` wrote; an export may still be compressed.
KEY is a public key of the log as `datacrawl audit key` prints it, or a file of such lines, and must come from somewhere that
you trust: a key that came together with FILE proves nothing. Exit status 0: all holds. 1: it does not. 2: wrong usage.

Python 3.9 or newer and one package for Ed25519: `cryptography` or `pynacl`. The formats are docs/audit-format.md (rows) and
docs/proof-format.md (the rest) of DataCrawl; this file was written from those, and shares no code with it.
"""
import argparse
import base64
import binascii
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys

# ---------------------------------------------------------------------------------------------------------------- problems


class Problem(Exception):
    """Something does not hold: at which step of the check, and why."""

    def __init__(self, step, message):
        super().__init__(message)
        self.step = step
        self.message = message


def need(condition, step, message):
    if not condition:
        raise Problem(step, message)


# ------------------------------------------------------------------------------------------------------------ rows → hashes

DECISION_COLUMNS = [
    ("decision_id", "uuid"), ("recorded_at", "time"), ("source", "text"), ("agent_id", "text"), ("credential_id", "text"),
    ("tool", "text"), ("idempotency_key", "text"), ("decision", "text"), ("reason", "text"), ("message", "text"),
    ("rule_id", "text"), ("policy_version", "text"), ("request_digest", "bytes"), ("payload_digest", "bytes"),
    ("decided_at", "time"), ("linked_decision_id", "uuid"), ("review_id", "uuid"), ("grant_id", "uuid"),
    ("guard_journal_id", "uuid"), ("guard_sequence", "int"), ("guard_record_hash", "bytes"), ("trace_id", "text"),
    ("detail", "text"),
]
# A decision that has a principal or a session, and no other, has these columns and the other domain.
COLUMNS_OF_VERSION_2 = [("principal", "text"), ("session_id", "text")]
DOMAIN_OF_VERSION_2 = b"datacrawl.audit.v2"
EVENT_COLUMNS = [
    ("event_id", "uuid"), ("recorded_at", "time"), ("kind", "text"), ("actor", "text"), ("subject", "text"),
    ("decision_id", "uuid"), ("detail", "text"),
]
TABLES = {  # kind of row: columns, what its hash covers first, which stream of the tree it is in
    "decision": (DECISION_COLUMNS, b"datacrawl.audit.v1", b"\x01"),
    "event": (EVENT_COLUMNS, b"datacrawl.audit.event.v1", b"\x02"),
}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HEX = re.compile(r"([0-9a-f]{2})*")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def row_hash(kind, row):
    """SHA-256 of a row's columns. Raises Problem if they are not those of a row."""
    columns, domain, _ = TABLES[kind]
    need(type(row) is dict, "format", "the row is not an object")
    if kind == "decision" and any(name in row for name, _ in COLUMNS_OF_VERSION_2):
        need(any(row.get(name) is not None for name, _ in COLUMNS_OF_VERSION_2), "format",
             "the row has neither a principal nor a session, and must not have their columns")
        columns, domain = columns + COLUMNS_OF_VERSION_2, DOMAIN_OF_VERSION_2
    parts = [domain]
    for name, column_kind in columns:
        need(name in row, "format", f"the row has no {name}")
        value = row[name]
        if value is None:
            parts.append(b"\x00" + bytes(4))
        else:
            data = column_bytes(name, column_kind, value)
            parts.append(b"\x01" + len(data).to_bytes(4, "big") + data)
    need(len(row) == len(columns), "format", "the row has a column that is not one")
    return sha256(*parts)


def column_bytes(name, kind, value):
    if kind in ("time", "int"):
        need(type(value) is int, "format", f"the row's {name} is not a whole number")
        return value.to_bytes(8, "big", signed=True)
    need(type(value) is str, "format", f"the row's {name} is not a text")
    if kind == "bytes":
        need(HEX.fullmatch(value), "format", f"the row's {name} is not bytes in lower-case hex")
        return bytes.fromhex(value)
    if kind == "uuid":
        need(UUID.fullmatch(value), "format", f"the row's {name} is not a UUID in lower case")
    return value.encode("utf-8")


def check_payload(row, payload):
    """The payload's salted digest is in the row."""
    fits = type(payload) is dict and sorted(payload) == ["canonical", "salt"] and type(payload["canonical"]) is str
    need(fits and type(payload["salt"]) is str and HEX.fullmatch(payload["salt"]), "format", "the payload is not one")
    digest = sha256(bytes.fromhex(payload["salt"]), payload["canonical"].encode("utf-8")).hex()
    need(digest == row["payload_digest"], "payload",
         f"the payload is not the one that decision {row['decision_id']} was about")


# ------------------------------------------------------------------------------------------- hashes → tree (RFC 6962, 2.1)


def leaf_hash(kind, row_hash_bytes):
    return sha256(b"\x00", TABLES[kind][2], row_hash_bytes)


def node_hash(left, right):
    return sha256(b"\x01", left, right)


def largest_power_below(size):
    """The largest power of two that is smaller than size, which is 2 or more."""
    return 1 << ((size - 1).bit_length() - 1)


def root_from_path(index, size, leaf, path):
    """What the root is if `leaf` is at `index` and `path` is its audit path (RFC 6962, 2.1.1); None if that cannot be."""
    path = list(path)

    def root(m, n):
        if n == 1:
            return leaf
        beside, k = path.pop(), largest_power_below(n)
        return node_hash(root(m, k), beside) if m < k else node_hash(beside, root(m - k, n - k))

    try:
        found = root(index, size)
    except IndexError:
        return None
    return None if path else found


def roots_from_consistency(first_size, first_root, second_size, path):
    """Both roots that `path` leads to (RFC 6962, 2.1.2); None if it cannot be a proof for these sizes."""
    path = list(path)

    def roots(m, n, whole):
        if m == n:
            known = first_root if whole else path.pop()
            return known, known
        beside, k = path.pop(), largest_power_below(n)
        if m <= k:
            old, new = roots(m, k, whole)
            return old, node_hash(new, beside)
        old, new = roots(m - k, n - k, False)
        return node_hash(beside, old), node_hash(beside, new)

    try:
        found = roots(first_size, second_size, True)
    except IndexError:
        return None
    return None if path else found


class Tree:
    """A tree's right edge: takes leaves and whole subtrees from left to right, and tells the root."""

    def __init__(self):
        self.size = 0
        self.peaks = []  # (level, hash) of full subtrees, the largest first

    def append(self, hash_bytes, level=0):
        self.size += 1 << level
        while self.peaks and self.peaks[-1][0] == level:
            hash_bytes = node_hash(self.peaks.pop()[1], hash_bytes)
            level += 1
        self.peaks.append((level, hash_bytes))

    def levels_up_to(self, end):
        """The levels of the fewest full subtrees between here and leaf `end`, from left to right."""
        at, levels = self.size, []
        while at < end:
            level = (end - at).bit_length() - 1
            if at:  # a subtree begins only at a multiple of its size
                level = min(level, (at & -at).bit_length() - 1)
            levels.append(level)
            at += 1 << level
        return levels

    def root(self):
        if not self.peaks:
            return sha256()
        root = self.peaks[-1][1]
        for _, peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


# ---------------------------------------------- tree → signature (c2sp.org/signed-note and c2sp.org/tlog-checkpoint, Ed25519)

NAME = re.compile(r"[^\s\ufeff\u0085+\x00-\x1f]+")
NUMBER = re.compile(r"0|[1-9][0-9]*")
MAX_NUMBER = 2**53 - 1


def ed25519_verifies(public_key, signature, message):
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        import nacl.exceptions
        import nacl.signing
        try:
            nacl.signing.VerifyKey(public_key).verify(message, signature)
            return True
        except (nacl.exceptions.BadSignatureError, ValueError):
            return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def from_base64(text):
    """None unless text is the one way to write its bytes."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def parse_key(line):
    """A public key, `<name>+<id>+<base64>`, as (name, id, 32 bytes)."""
    parts = line.split("+", 2)
    need(len(parts) == 3 and NAME.fullmatch(parts[0]), "key", "a public key looks like name+0123abcd+base64")
    name, key_id, data = parts[0], parts[1], from_base64(parts[2])
    need(data is not None and len(data) == 33 and data[0] == 1, "key", f"the key {name} is not an Ed25519 key")
    need(sha256(name.encode("utf-8"), b"\n", data)[:4].hex() == key_id, "key", f"the key {name} does not have id {key_id}")
    return name, bytes.fromhex(key_id), data[1:]


def open_note(note, keys):
    """A signed note's text and the names of the trusted keys that signed it."""
    need(len(note.encode("utf-16-le")) // 2 <= 1 << 20, "signature", "the note is larger than a megabyte")
    text, separator, signatures = note.rpartition("\n\n")
    text += "\n"
    controls = any(char < " " and char != "\n" for char in text)
    need(separator and signatures.endswith("\n") and not controls, "signature", "the checkpoint is not a signed note")
    lines = signatures[:-1].split("\n")
    need(len(lines) <= 100, "signature", "the note has more than 100 signatures")
    signed = [parse_signature(line) for line in lines]
    signers = []
    for name, key_id, signature in signed:
        known = [public for key_name, trusted_id, public in keys if (key_name, trusted_id) == (name, key_id)]
        if not known:
            continue  # a key that we know nothing of says nothing
        good = len(signature) == 64 and any(ed25519_verifies(key, signature, text.encode("utf-8")) for key in known)
        need(good, "signature", f"the signature by {name}+{key_id.hex()} is not that key's over this checkpoint")
        signers.append(name)
    need(signers, "signature", "no trusted key signed the checkpoint; it is signed by "
         + ", ".join(f"{name}+{key_id.hex()}" for name, key_id, _ in signed))
    return text, signers


def parse_signature(line):
    parts = line.split(" ")
    data = from_base64(parts[2]) if len(parts) == 3 else None
    good = data is not None and len(data) >= 5 and parts[0] == "\u2014" and NAME.fullmatch(parts[1])
    need(good, "signature", "a line after the note's last empty line is not a signature")
    return parts[1], data[:4], data[4:]


class Checkpoint:
    """A checkpoint that a trusted key of the log signed."""

    def __init__(self, note, keys):
        text, signers = open_note(note, keys)
        lines = text[:-1].split("\n")
        need(len(lines) >= 3 and "" not in lines, "checkpoint", "a checkpoint has three lines or more, none empty")
        self.origin = lines[0]
        need(NUMBER.fullmatch(lines[1]) and int(lines[1]) <= MAX_NUMBER, "checkpoint", "its second line is no count")
        self.size = int(lines[1])
        self.root = from_base64(lines[2])
        need(self.root is not None and len(self.root) == 32, "checkpoint", "its third line is no hash")
        need(all(name == self.origin for name in signers), "checkpoint",
             f"the checkpoint is of the log {self.origin}, and signed by the key of {signers[0]}")
        epochs = [line[6:] for line in lines[3:] if line.startswith("epoch ") and NUMBER.fullmatch(line[6:])]
        need(len(epochs) == 1 and int(epochs[0]) <= MAX_NUMBER, "checkpoint", "not one line of it names its epoch")
        self.epoch = int(epochs[0])


# ------------------------------------------------------------------------------------------------------- files → all of that


def strict_json(text):
    """JSON without repeated members, without numbers but whole ones of 53 bits, without lone surrogates."""

    def members(pairs):
        found = dict(pairs)
        need(len(found) == len(pairs), "format", "an object has a member twice")
        return found

    def whole(number):
        need(re.fullmatch(r"0|-?[1-9][0-9]{0,15}", number) and abs(int(number)) <= MAX_NUMBER, "format",
             f"the number {number[:40]} is not a whole one of at most 53 bits")
        return int(number)

    def refuse(number):
        raise Problem("format", f"the number {number[:40]} is not a whole one")

    try:
        value = json.loads(text, object_pairs_hook=members, parse_int=whole, parse_float=refuse, parse_constant=refuse)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails on a lone surrogate
    except (ValueError, RecursionError) as error:
        raise Problem("format", f"not JSON: {str(error)[:120]}") from None
    need(type(value) is dict, "format", "not an object")
    return value


def exactly(found, *names):
    need(sorted(found) == sorted(names), "format", f"the members are not {', '.join(names)}")


def count(value, name):
    need(type(value) is int and value >= 0, "format", f"{name} is not a count")
    return value


def text_of(value, name):
    need(type(value) is str, "format", f"{name} is not a text")
    return value


def hash_of(value, name):
    need(type(value) is str and len(value) == 64 and HEX.fullmatch(value), "format", f"{name} is not 32 bytes in hex")
    return bytes.fromhex(value)


def hashes_of(value, name):
    need(type(value) is list, "format", f"{name} is not a list")
    return [hash_of(one, name) for one in value]


def verify_proof(text, keys):
    """A proof of either kind; returns what it shows."""
    proof = strict_json(text)
    if proof.get("format") == "datacrawl.audit.proof.v1":
        return verify_decision(proof, keys)
    if proof.get("format") == "datacrawl.audit.consistency.v1":
        return verify_consistency(proof, keys)
    raise Problem("format", "the format is not one of a proof")


def verify_decision(proof, keys):
    exactly(proof, "format", "row", "hash", "payload", "epoch", "leaf_index", "inclusion_path", "checkpoint", "verifier_keys")
    stated, row, payload = hash_of(proof["hash"], "hash"), proof["row"], proof["payload"]
    computed = row_hash("decision", row)
    epoch, index = count(proof["epoch"], "epoch"), count(proof["leaf_index"], "leaf_index")
    path = hashes_of(proof["inclusion_path"], "inclusion_path")
    note = text_of(proof["checkpoint"], "checkpoint")
    check_key_list(proof["verifier_keys"])
    payload_problem = problem_of(lambda: check_payload(row, payload)) if payload is not None else None
    if payload_problem and payload_problem.step == "format":
        raise payload_problem
    need(computed == stated, "row", f"the columns of decision {row['decision_id']} do not have the hash {stated.hex()}")
    if payload_problem:
        raise payload_problem
    checkpoint = Checkpoint(note, keys)
    need(checkpoint.epoch == epoch, "checkpoint", f"the checkpoint is of epoch {checkpoint.epoch}, the leaf of {epoch}")
    root = root_from_path(index, checkpoint.size, leaf_hash("decision", stated), path) if index < checkpoint.size else None
    need(root == checkpoint.root, "inclusion",
         f"the decision is not leaf {index} of the tree of {checkpoint.size} leaves that was signed")
    return {"kind": "decision", "log": checkpoint.origin, "epoch": epoch, "leaf_index": index, "size": checkpoint.size,
            "row": row, "payload": payload is not None}


def verify_consistency(proof, keys):
    exactly(proof, "format", "first", "second", "consistency_path", "verifier_keys")
    path = hashes_of(proof["consistency_path"], "consistency_path")
    notes = text_of(proof["first"], "first"), text_of(proof["second"], "second")
    check_key_list(proof["verifier_keys"])
    first, second = Checkpoint(notes[0], keys), Checkpoint(notes[1], keys)
    same = (first.origin, first.epoch) == (second.origin, second.epoch)
    need(same, "checkpoint", "the checkpoints are of different logs or epochs")
    need(consistent(first, second, path), "consistency",
         f"the tree of {first.size} leaves is not shown to be the beginning of that of {second.size}")
    return {"kind": "consistency", "log": first.origin, "epoch": first.epoch, "sizes": [first.size, second.size]}


def consistent(first, second, path):
    if first.size > second.size:
        return False
    if first.size == 0:  # the empty tree is the beginning of every tree
        return first.root == sha256() and not path and (second.size > 0 or second.root == first.root)
    return roots_from_consistency(first.size, first.root, second.size, path) == (first.root, second.root)


def check_key_list(keys):
    need(type(keys) is list and all(type(key) is str for key in keys), "format", "verifier_keys is not a list of texts")


def problem_of(check):
    try:
        check()
        return None
    except Problem as problem:
        return problem


class Export:
    """An export, line by line. Rows count as proven only under a checkpoint that comes after them."""

    MAX_PROBLEMS = 100

    def __init__(self, keys):
        self.keys = keys
        self.problems = []  # {"line", "step", "message"}
        self.digest = hashlib.sha256()
        self.totals = {"decisions": 0, "events": 0, "payloads": 0}
        self.epochs = []
        self.header = self.epoch = None
        self.lines = 0
        self.stopped = self.ended = False

    def take(self, raw_line):
        """One line of bytes with its newline, if it has one."""
        if self.stopped:
            return
        self.lines += 1
        try:
            need(raw_line.endswith(b"\n"), "format", "the file is truncated: it ends within a line")
            self.judge(decode(raw_line[:-1]))
            if not self.ended:
                self.digest.update(raw_line)
        except Problem as problem:
            self.stopped = True
            self.note(problem)

    def finish(self):
        """What the file holds, or None. True only as far as there are no problems."""
        if not self.stopped and not self.ended:
            self.lines += 1
            self.note(Problem("format", "the file is truncated: its last line is missing"))
        if not self.ended:
            return None
        return {"kind": "export", "log": self.header["log"], "from": self.header["from"], "to": self.header["to"],
                **self.totals, "epochs": self.epochs}

    def note(self, problem):
        self.problems.append({"line": self.lines, "step": problem.step, "message": problem.message})
        if len(self.problems) >= self.MAX_PROBLEMS:
            self.stopped = True

    def judge(self, text):
        need(not self.ended, "format", "there is a line after the last one")
        line = strict_json(text)
        if self.header is None:
            self.take_header(line)
        elif "seq" in line:
            self.take_row(line)
        elif "gap" in line:
            self.take_gap(line)
        elif "checkpoint" in line:
            self.take_checkpoint(line)
        elif "epoch" in line:
            self.take_epoch(line)
        elif "end" in line:
            self.take_end(line)
        else:
            raise Problem("format", "the line is of an unknown kind")

    def take_header(self, line):
        need(line.get("format") == "datacrawl.audit.export.v1", "format", "the first line does not say what it is")
        exactly(line, "format", "log", "from", "to", "payloads", "verifier_keys")
        good = type(line["log"]) is str and type(line["to"]) is int and type(line["payloads"]) is bool
        good = good and (line["from"] is None or type(line["from"]) is int) and type(line["verifier_keys"]) is list
        need(good, "format", "the first line is not a header")
        self.header = line

    def take_epoch(self, line):
        exactly(line, "epoch")
        need(type(line["epoch"]) is int, "format", "the line does not begin an epoch")
        self.close_epoch()
        last = self.epochs[-1]["epoch"] if self.epochs else -1
        need(line["epoch"] > last, "format", f"epoch {line['epoch']} is not after the one before")
        self.epoch = {"epoch": line["epoch"], "tree": Tree(), "rows": 0, "before": 0, "among": 0, "after": 0,
                      "checkpoint": None, "first_unproven": self.lines + 1}

    def take_row(self, line):
        epoch = self.must_be_in_epoch()
        kind = "event" if "event" in line else "decision"
        exactly(line, "seq", "hash", kind, *(["payload"] if kind == "decision" and "payload" in line else []))
        stated, row = hash_of(line["hash"], "hash"), line[kind]
        need(line["seq"] == epoch["tree"].size and type(line["seq"]) is int, "format",
             f"the row is leaf {line['seq']}, the next is leaf {epoch['tree'].size}")
        row_id = row.get(f"{kind}_id") if type(row) is dict else None
        if row_hash(kind, row) != stated:
            self.note(Problem("row", f"the columns of {kind} {row_id} do not have the hash {stated.hex()}"))
        at, start, end = row["recorded_at"], self.header["from"], self.header["to"]
        if not (start is None or (at or 0) >= start) or (at or 0) >= end:
            self.note(Problem("range", f"{kind} {row_id} is not of the time that the first line names"))
        if "payload" in line:
            self.totals["payloads"] += 1
            problem = problem_of(lambda: check_payload(row, line["payload"]))
            if problem and problem.step == "format":
                raise problem
            if problem:
                self.note(problem)
        self.totals[f"{kind}s"] += 1
        epoch["tree"].append(leaf_hash(kind, stated))
        epoch["among" if epoch["rows"] else "before"] += epoch["after"]
        epoch["after"] = 0
        epoch["rows"] += 1

    def take_gap(self, line):
        """Leaves whose rows are not in the file: the hashes of the subtrees that they make."""
        epoch = self.must_be_in_epoch()
        exactly(line, "gap", "nodes")
        tree, end = epoch["tree"], line["gap"]
        need(type(end) is int and end > tree.size, "format", f"the gap does not describe the leaves from {tree.size} on")
        levels = tree.levels_up_to(end)
        nodes = hashes_of(line["nodes"], "nodes")
        need(len(nodes) == len(levels), "format", f"the leaves up to {end} are {len(levels)} subtrees, not {len(nodes)}")
        epoch["after"] += end - tree.size
        for level, node in zip(levels, nodes):
            tree.append(node, level)

    def take_checkpoint(self, line):
        epoch = self.must_be_in_epoch()
        exactly(line, "checkpoint")
        checkpoint = Checkpoint(text_of(line["checkpoint"], "checkpoint"), self.keys)
        size = epoch["tree"].size
        need(checkpoint.origin == self.header["log"], "checkpoint",
             f"the checkpoint is of {checkpoint.origin}, the file of {self.header['log']}")
        need((checkpoint.epoch, checkpoint.size) == (epoch["epoch"], size), "checkpoint",
             f"the checkpoint is of epoch {checkpoint.epoch} at {checkpoint.size} leaves, the file at {epoch['epoch']} and {size}")
        need(checkpoint.root == epoch["tree"].root(), "root",
             f"lines {epoch['first_unproven']} to {self.lines - 1} are not what was signed at {size} leaves")
        epoch["checkpoint"] = checkpoint
        epoch["first_unproven"] = self.lines + 1

    def take_end(self, line):
        self.close_epoch()
        exactly(line, "end")
        need(type(line["end"]) is dict, "format", "the last line is not an end")
        told = dict(line["end"])
        digest = told.pop("sha256", None)
        exactly(told, *self.totals)
        need(type(digest) is str and all(type(value) is int for value in told.values()), "format", "the last line is not an end")
        need(told == self.totals, "digest", f"the last line tells of {told}; the file has {self.totals}")
        need(digest == self.digest.hexdigest(), "digest",
             "the bytes before the last line do not have the digest in it")
        self.ended = True

    def must_be_in_epoch(self):
        need(self.epoch is not None, "format", "the line comes before any epoch")
        return self.epoch

    def close_epoch(self):
        epoch = self.epoch
        if epoch is None:
            return
        proven = epoch["checkpoint"] is not None and epoch["checkpoint"].size == epoch["tree"].size
        need(proven, "checkpoint", f"lines {epoch['first_unproven']} to {self.lines - 1} are not covered by a checkpoint")
        left_out = {name: epoch[name] for name in ("before", "among", "after")}
        self.epochs.append({"epoch": epoch["epoch"], "size": epoch["tree"].size, "rows": epoch["rows"],
                            "leaves_left_out": left_out})
        self.epoch = None


def decode(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("format", f"not UTF-8: {error.reason} at byte {error.start}") from None


# --------------------------------------------------------------------------------------------------------------- command line

MAX_LINE = 4 << 20


def open_file(path):
    """The file's bytes, decompressed."""
    file = sys.stdin.buffer if path == "-" else open(path, "rb")
    if not hasattr(file, "peek"):
        file = io.BufferedReader(file)
    magic = file.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        import gzip
        return gzip.open(file)
    if magic == b"\x28\xb5\x2f\xfd":
        try:
            from compression import zstd  # Python 3.14
            return zstd.open(file)
        except ImportError:
            if path == "-" or not shutil.which("zstd"):
                sys.exit("this Python cannot read zstd: unpack the file first (zstd -d)")
            return UnpackedByCommand(["zstd", "-dc", "--", path])
    return file


class UnpackedByCommand:
    """What a command writes, and an error at its end if it fails."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def readline(self, size):
        return self.ended_if(self.process.stdout.readline(size), lambda line: line == b"")

    def read(self, size):
        return self.ended_if(self.process.stdout.read(size), lambda read: len(read) < size)

    def ended_if(self, read, is_last):
        if is_last(read) and self.process.wait() != 0:
            raise OSError(self.process.stderr.read().decode(errors="replace").strip() or "it cannot be unpacked")
        return read


def unpacking_errors():
    """What reading a packed file that was cut or changed raises."""
    errors = [EOFError, OSError]
    for module, name in (("zlib", "error"), ("compression.zstd", "ZstdError")):
        try:
            errors.append(getattr(importlib.import_module(module), name))
        except ImportError:
            pass
    return tuple(errors)


def lines_of(file):
    while True:
        line = file.readline(MAX_LINE + 2)
        if not line:
            return
        yield line


def verify_file(path, keys):
    """(what the file shows or None, problems)"""
    found = []
    try:
        file = open_file(path)
        first = file.readline(MAX_LINE + 2)
        if b'"datacrawl.audit.export' in first[:200]:
            export = Export(keys)
            found = export.problems
            export.take(first)
            for line in lines_of(file):
                export.take(line)
                if export.stopped:
                    break
            return export.finish(), export.problems
        text = first + file.read(MAX_LINE + 1 - len(first))
        need(len(text) <= MAX_LINE, "format", "the file is larger than any proof")
        return verify_proof(decode(text), keys), []
    except Problem as problem:
        return None, [{"line": None, "step": problem.step, "message": problem.message}]
    except unpacking_errors() as error:
        if isinstance(error, FileNotFoundError):
            sys.exit(str(error))
        # A compressed file that was cut or changed.
        return None, [*found, {"line": None, "step": "format", "message": f"the file cannot be read: {error}"}]


def read_keys(arguments):
    """Each argument is a key, or a file of keys, one a line; lines that are empty or begin with # are left out."""
    lines = []
    for argument in arguments:
        if os.path.exists(argument):
            with open(argument, encoding="utf-8") as file:
                lines += file.read().splitlines()
        else:
            lines.append(argument)
    return [parse_key(line.strip()) for line in lines if line.strip() and not line.startswith("#")]


def describe(shown):
    if shown["kind"] == "decision":
        row = shown["row"]
        return (f"Proven: decision {row['decision_id']} ({row['decision']}, {row['reason']}, agent {row['agent_id']}) is leaf "
                f"{shown['leaf_index']} of the {shown['size']} that {shown['log']} had signed (epoch {shown['epoch']}).")
    if shown["kind"] == "consistency":
        first, second = shown["sizes"]
        return f"Proven: the first {first} leaves of {shown['log']} did not change until it had {second}."
    lines = [f"Proven: {shown['decisions']} decisions, {shown['events']} events and {shown['payloads']} payloads are what "
             f"{shown['log']} had signed."]
    for epoch in shown["epochs"]:
        out = epoch["leaves_left_out"]
        lines.append(f"Epoch {epoch['epoch']}: {epoch['rows']} rows of {epoch['size']} leaves; not in the file: {out['before']} "
                     f"before the first row, {out['among']} among the rows, {out['after']} after the last.")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", help="a proof or an export; - for standard input")
    parser.add_argument("--key", action="append", required=True, metavar="KEY", help="a public key, or a file of them")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    arguments = parser.parse_args()
    try:
        keys = read_keys(arguments.key)
        need(keys, "key", "there is no public key")
    except Problem as problem:
        parser.error(problem.message)
    shown, problems = verify_file(arguments.file, keys)
    if arguments.json:
        print(json.dumps({"ok": not problems, "problems": problems, "shown": shown}))
    else:
        for problem in problems:
            where = "" if problem["line"] is None else f"line {problem['line']}: "
            print(f"FAILED at {problem['step']}: {where}{problem['message']}")
        if not problems:
            print(describe(shown))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
