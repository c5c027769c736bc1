from __future__ import annotations

import re

_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(given: object) -> str | None:
    """
    The W3C `traceparent` of a call: the given one if it is well-formed, else that of the active span where OpenTelemetry's API is
    installed.
    """
    if given is not None:
        return given if isinstance(given, str) and _TRACEPARENT.fullmatch(given) else None
    try:
        from opentelemetry.trace import get_current_span

        span = get_current_span().get_span_context()
        if not span.is_valid:
            return None
        traceparent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags) & 0xFF:02x}"
    except Exception:
        # No trace is worth a decision.
        return None
    return traceparent if _TRACEPARENT.fullmatch(traceparent) else None
