"""Where the evidence of a decision file lies: beside it, told from its name."""

from pathlib import Path

_DECISION, _EVIDENCE = "decision", "evidence"


def evidence_beside(decision: Path) -> Path:
    """`decision-7-3.bin` -> `evidence-7-3.bin` as control names them; `bad.bin` -> `bad.evidence.bin`."""
    if decision.name.startswith(f"{_DECISION}-"):
        return decision.with_name(_EVIDENCE + decision.name.removeprefix(_DECISION))
    return decision.with_name(f"{decision.stem}.{_EVIDENCE}{decision.suffix}")
