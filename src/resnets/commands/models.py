"""`resnets models`."""

from __future__ import annotations

from resnets.commands.command import Answer, Command, Invocation
from resnets.models import counts
from resnets.models.catalog import CATALOG
from resnets.models.spec import Spec


def list_models() -> dict[str, Spec]:
    """List the networks that are known by name."""
    return dict(CATALOG)


def _answer(invocation: Invocation) -> Answer:
    rows = [
        {
            "name": name,
            "parameters": counts.parameters(spec),
            "size": spec.usual_size,
            "multiply_adds": counts.multiply_adds(spec, spec.usual_size),
        }
        for name, spec in invocation.call().items()
    ]
    lines = [f"{'model':20} {'parameters':>12} {'multiply-adds':>16}"]
    lines += [f"{r['name']:20} {r['parameters']:12,} {r['multiply_adds']:16,}  at {r['size']} px" for r in rows]
    return Answer(lines, {"models": rows})


COMMAND = Command(list_models, _answer)
