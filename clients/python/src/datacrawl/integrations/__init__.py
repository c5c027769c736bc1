"""
Tool guards for agent frameworks: a tool runs only if DataCrawl allows the call, with the arguments that were judged, and once.

Each module needs its framework: `pip install "datacrawl[langchain]"`. docs/integrations/README.md says what each of them covers.
"""

from ._judge import Refusal, SelfTestError, ToolCall, ToolGuardOptions

__all__ = ["Refusal", "SelfTestError", "ToolCall", "ToolGuardOptions"]
