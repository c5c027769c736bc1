import datetime

from datacrawl.authz.v1 import decision_pb2 as _decision_pb2
from datacrawl.authz.v1 import execution_pb2 as _execution_pb2
from datacrawl.authz.v1 import watch_pb2 as _watch_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CircuitState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CIRCUIT_STATE_UNSPECIFIED: _ClassVar[CircuitState]
    CIRCUIT_STATE_CLOSED: _ClassVar[CircuitState]
    CIRCUIT_STATE_OPEN: _ClassVar[CircuitState]
    CIRCUIT_STATE_HALF_OPEN: _ClassVar[CircuitState]
    CIRCUIT_STATE_RECOVERING: _ClassVar[CircuitState]
CIRCUIT_STATE_UNSPECIFIED: CircuitState
CIRCUIT_STATE_CLOSED: CircuitState
CIRCUIT_STATE_OPEN: CircuitState
CIRCUIT_STATE_HALF_OPEN: CircuitState
CIRCUIT_STATE_RECOVERING: CircuitState

class AuthorizeRequest(_message.Message):
    __slots__ = ("tool", "payload", "idempotency_key", "agent_id", "nonce", "principal", "session_id")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    tool: str
    payload: _struct_pb2.Struct
    idempotency_key: str
    agent_id: str
    nonce: bytes
    principal: str
    session_id: str
    def __init__(self, tool: _Optional[str] = ..., payload: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., idempotency_key: _Optional[str] = ..., agent_id: _Optional[str] = ..., nonce: _Optional[bytes] = ..., principal: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class AuthorizeResponse(_message.Message):
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

class SyncGuardRequest(_message.Message):
    __slots__ = ("journal_id", "records", "circuit", "closing")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    records: _containers.RepeatedCompositeFieldContainer[GuardRecord]
    circuit: CircuitReport
    closing: bool
    def __init__(self, journal_id: _Optional[str] = ..., records: _Optional[_Iterable[_Union[GuardRecord, _Mapping]]] = ..., circuit: _Optional[_Union[CircuitReport, _Mapping]] = ..., closing: _Optional[bool] = ...) -> None: ...

class GuardRecord(_message.Message):
    __slots__ = ("sequence", "previous_hash", "hash", "body")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_HASH_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    previous_hash: bytes
    hash: bytes
    body: bytes
    def __init__(self, sequence: _Optional[int] = ..., previous_hash: _Optional[bytes] = ..., hash: _Optional[bytes] = ..., body: _Optional[bytes] = ...) -> None: ...

class CircuitReport(_message.Message):
    __slots__ = ("state", "consecutive_failures", "opened_at", "next_probe_at", "last_errors", "cause", "unsynced_records", "coalesced_denies")
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONSECUTIVE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PROBE_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERRORS_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    UNSYNCED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    COALESCED_DENIES_FIELD_NUMBER: _ClassVar[int]
    state: CircuitState
    consecutive_failures: int
    opened_at: _timestamp_pb2.Timestamp
    next_probe_at: _timestamp_pb2.Timestamp
    last_errors: _containers.RepeatedScalarFieldContainer[str]
    cause: str
    unsynced_records: int
    coalesced_denies: int
    def __init__(self, state: _Optional[_Union[CircuitState, str]] = ..., consecutive_failures: _Optional[int] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_probe_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_errors: _Optional[_Iterable[str]] = ..., cause: _Optional[str] = ..., unsynced_records: _Optional[int] = ..., coalesced_denies: _Optional[int] = ...) -> None: ...

class SyncGuardResponse(_message.Message):
    __slots__ = ("recorded_hashes", "refused_records", "unverified_grants", "grant_keys", "service_time", "circuit_command")
    RECORDED_HASHES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_GRANTS_FIELD_NUMBER: _ClassVar[int]
    GRANT_KEYS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIME_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_COMMAND_FIELD_NUMBER: _ClassVar[int]
    recorded_hashes: _containers.RepeatedScalarFieldContainer[bytes]
    refused_records: _containers.RepeatedCompositeFieldContainer[RefusedRecord]
    unverified_grants: _containers.RepeatedScalarFieldContainer[str]
    grant_keys: _containers.RepeatedCompositeFieldContainer[GrantKey]
    service_time: _timestamp_pb2.Timestamp
    circuit_command: CircuitCommand
    def __init__(self, recorded_hashes: _Optional[_Iterable[bytes]] = ..., refused_records: _Optional[_Iterable[_Union[RefusedRecord, _Mapping]]] = ..., unverified_grants: _Optional[_Iterable[str]] = ..., grant_keys: _Optional[_Iterable[_Union[GrantKey, _Mapping]]] = ..., service_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., circuit_command: _Optional[_Union[CircuitCommand, _Mapping]] = ...) -> None: ...

class CircuitCommand(_message.Message):
    __slots__ = ("epoch", "open", "expires_at")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    open: bool
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, epoch: _Optional[int] = ..., open: _Optional[bool] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RefusedRecord(_message.Message):
    __slots__ = ("hash", "problem")
    HASH_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    problem: str
    def __init__(self, hash: _Optional[bytes] = ..., problem: _Optional[str] = ...) -> None: ...

class GrantKey(_message.Message):
    __slots__ = ("public_key", "signature_by_previous")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_BY_PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    signature_by_previous: bytes
    def __init__(self, public_key: _Optional[bytes] = ..., signature_by_previous: _Optional[bytes] = ...) -> None: ...

class ListCallableToolsRequest(_message.Message):
    __slots__ = ("tools",)
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tools: _Optional[_Iterable[str]] = ...) -> None: ...

class ListCallableToolsResponse(_message.Message):
    __slots__ = ("agent_id", "policy_version", "tools")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    policy_version: str
    tools: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_id: _Optional[str] = ..., policy_version: _Optional[str] = ..., tools: _Optional[_Iterable[str]] = ...) -> None: ...
