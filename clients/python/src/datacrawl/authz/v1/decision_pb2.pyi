from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_ALLOW: _ClassVar[Decision]
    DECISION_DENY: _ClassVar[Decision]
    DECISION_NEEDS_REVIEW: _ClassVar[Decision]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_RULE_ALLOWED: _ClassVar[Reason]
    REASON_RULE_DENIED: _ClassVar[Reason]
    REASON_NO_MATCHING_RULE: _ClassVar[Reason]
    REASON_RULE_ERROR: _ClassVar[Reason]
    REASON_IDEMPOTENCY_KEY_REUSED: _ClassVar[Reason]
    REASON_AGENT_FROZEN: _ClassVar[Reason]
    REASON_REVIEW_PENDING: _ClassVar[Reason]
    REASON_REVIEW_APPROVED: _ClassVar[Reason]
    REASON_REVIEW_REJECTED: _ClassVar[Reason]
    REASON_REVIEW_EXPIRED: _ClassVar[Reason]
    REASON_SERVICE_UNAVAILABLE: _ClassVar[Reason]
    REASON_DEADLINE_EXCEEDED: _ClassVar[Reason]
    REASON_MALFORMED_RESPONSE: _ClassVar[Reason]
    REASON_REQUEST_REFUSED: _ClassVar[Reason]
    REASON_CIRCUIT_OPEN: _ClassVar[Reason]
    REASON_CIRCUIT_BYPASS: _ClassVar[Reason]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_SERVICE: _ClassVar[Source]
    SOURCE_GUARD: _ClassVar[Source]
DECISION_UNSPECIFIED: Decision
DECISION_ALLOW: Decision
DECISION_DENY: Decision
DECISION_NEEDS_REVIEW: Decision
REASON_UNSPECIFIED: Reason
REASON_RULE_ALLOWED: Reason
REASON_RULE_DENIED: Reason
REASON_NO_MATCHING_RULE: Reason
REASON_RULE_ERROR: Reason
REASON_IDEMPOTENCY_KEY_REUSED: Reason
REASON_AGENT_FROZEN: Reason
REASON_REVIEW_PENDING: Reason
REASON_REVIEW_APPROVED: Reason
REASON_REVIEW_REJECTED: Reason
REASON_REVIEW_EXPIRED: Reason
REASON_SERVICE_UNAVAILABLE: Reason
REASON_DEADLINE_EXCEEDED: Reason
REASON_MALFORMED_RESPONSE: Reason
REASON_REQUEST_REFUSED: Reason
REASON_CIRCUIT_OPEN: Reason
REASON_CIRCUIT_BYPASS: Reason
SOURCE_UNSPECIFIED: Source
SOURCE_SERVICE: Source
SOURCE_GUARD: Source
