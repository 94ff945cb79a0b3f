"""Self-contained HTML pages, from the Jinja2 templates of this package, with autoescape always on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.reporting.names import short_path, shortened

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **context: Any) -> bytes:
    """Returns the page of `template` in UTF-8. Characters that UTF-8 cannot hold are shown as `\\udcff`.

    Args:
        context: the template's variables. Every text is escaped but what `inline_svg` returned.
    """
    return _environment().get_template(template).render(context).encode(errors="backslashreplace")


def inline_svg(element: str) -> Any:
    """Marks an `<svg>` element of `resnets.reporting.charts` as HTML that is not escaped again."""
    from markupsafe import Markup

    return Markup(element)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    functions: dict[str, Callable[..., Any]] = {
        "kind": _kind,
        "short_path": short_path,
        "shortened": shortened,
        "zip": zip,
    }
    environment.globals.update(functions)
    return environment


def _kind(section: object) -> str:
    """The name of the template of a section: its class in lower case."""
    return type(section).__name__.lower()
