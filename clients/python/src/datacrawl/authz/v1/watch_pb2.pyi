import datetime

from datacrawl.authz.v1 import decision_pb2 as _decision_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchDecisionRequest(_message.Message):
    __slots__ = ("decision_id", "nonce")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    nonce: bytes
    def __init__(self, decision_id: _Optional[str] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class WatchDecisionResponse(_message.Message):
    __slots__ = ("reason", "message", "decision_id", "policy_version", "replayed", "decided_at", "rule_id", "agent_id", "tool", "idempotency_key", "nonce", "source", "decision")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    reason: _decision_pb2.Reason
    message: str
    decision_id: str
    policy_version: str
    replayed: bool
    decided_at: _timestamp_pb2.Timestamp
    rule_id: str
    agent_id: str
    tool: str
    idempotency_key: str
    nonce: bytes
    source: _decision_pb2.Source
    decision: _decision_pb2.Decision
    def __init__(self, reason: _Optional[_Union[_decision_pb2.Reason, str]] = ..., message: _Optional[str] = ..., decision_id: _Optional[str] = ..., policy_version: _Optional[str] = ..., replayed: _Optional[bool] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rule_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., tool: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., nonce: _Optional[bytes] = ..., source: _Optional[_Union[_decision_pb2.Source, str]] = ..., decision: _Optional[_Union[_decision_pb2.Decision, str]] = ...) -> None: ...
