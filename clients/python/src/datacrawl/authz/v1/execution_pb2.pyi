import datetime

from datacrawl.authz.v1 import decision_pb2 as _decision_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_STATE_UNSPECIFIED: _ClassVar[ExecutionState]
    EXECUTION_STATE_STARTED: _ClassVar[ExecutionState]
    EXECUTION_STATE_ALREADY_STARTED: _ClassVar[ExecutionState]
    EXECUTION_STATE_REFUSED: _ClassVar[ExecutionState]

class ExecutionRefusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_REFUSAL_UNSPECIFIED: _ClassVar[ExecutionRefusal]
    EXECUTION_REFUSAL_UNKNOWN_DECISION: _ClassVar[ExecutionRefusal]
    EXECUTION_REFUSAL_NOT_ALLOWED: _ClassVar[ExecutionRefusal]
    EXECUTION_REFUSAL_EXPIRED: _ClassVar[ExecutionRefusal]
    EXECUTION_REFUSAL_AGENT_FROZEN: _ClassVar[ExecutionRefusal]
    EXECUTION_REFUSAL_APPROVAL_LAPSED: _ClassVar[ExecutionRefusal]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_SUCCEEDED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_UNKNOWN: _ClassVar[Outcome]
EXECUTION_STATE_UNSPECIFIED: ExecutionState
EXECUTION_STATE_STARTED: ExecutionState
EXECUTION_STATE_ALREADY_STARTED: ExecutionState
EXECUTION_STATE_REFUSED: ExecutionState
EXECUTION_REFUSAL_UNSPECIFIED: ExecutionRefusal
EXECUTION_REFUSAL_UNKNOWN_DECISION: ExecutionRefusal
EXECUTION_REFUSAL_NOT_ALLOWED: ExecutionRefusal
EXECUTION_REFUSAL_EXPIRED: ExecutionRefusal
EXECUTION_REFUSAL_AGENT_FROZEN: ExecutionRefusal
EXECUTION_REFUSAL_APPROVAL_LAPSED: ExecutionRefusal
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_SUCCEEDED: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_UNKNOWN: Outcome

class BeginExecutionRequest(_message.Message):
    __slots__ = ("decision_id", "nonce")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    nonce: bytes
    def __init__(self, decision_id: _Optional[str] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class BeginExecutionResponse(_message.Message):
    __slots__ = ("reason", "message", "decision_id", "nonce", "agent_id", "execution_id", "started_at", "started_by", "outcome", "ended_at", "report_due_at", "source", "state")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_BY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    REPORT_DUE_AT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    reason: ExecutionRefusal
    message: str
    decision_id: str
    nonce: bytes
    agent_id: str
    execution_id: str
    started_at: _timestamp_pb2.Timestamp
    started_by: str
    outcome: Outcome
    ended_at: _timestamp_pb2.Timestamp
    report_due_at: _timestamp_pb2.Timestamp
    source: _decision_pb2.Source
    state: ExecutionState
    def __init__(self, reason: _Optional[_Union[ExecutionRefusal, str]] = ..., message: _Optional[str] = ..., decision_id: _Optional[str] = ..., nonce: _Optional[bytes] = ..., agent_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_by: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., report_due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[_Union[_decision_pb2.Source, str]] = ..., state: _Optional[_Union[ExecutionState, str]] = ...) -> None: ...

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("decision_id", "execution_id", "outcome", "error_code", "duration_ms", "summary")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    execution_id: str
    outcome: Outcome
    error_code: str
    duration_ms: int
    summary: str
    def __init__(self, decision_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., error_code: _Optional[str] = ..., duration_ms: _Optional[int] = ..., summary: _Optional[str] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ("decision_id", "execution_id", "outcome", "ended_at", "replayed")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    execution_id: str
    outcome: Outcome
    ended_at: _timestamp_pb2.Timestamp
    replayed: bool
    def __init__(self, decision_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., replayed: _Optional[bool] = ...) -> None: ...
