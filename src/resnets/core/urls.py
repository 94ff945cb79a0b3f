"""Addresses on the network, which are not read: what is there has to be downloaded first."""

from __future__ import annotations

import os
import re
from typing import Any

from resnets.core.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")  # not C:/; pathlib makes one slash of two
_HUB = re.compile(r"(?:https?:/{1,2})?(?:www\.)?(?:hf\.co|huggingface\.co)/(datasets/)?([^/]+/[^/?#]+)(/.*)?$")


def local_path(given: Any, what: str) -> Any:
    """`given`, or the path in it where it is a `file://` URL.

    Args:
        what: what is read from there, for messages, such as "data".

    Raises:
        UsageError: it is an address on the network; the message has the command that downloads what is there.
    """
    if not isinstance(given, str | os.PathLike):
        return given
    text = os.fsdecode(given)
    if hub := _HUB.match(text):
        kind, name, rest = hub.groups()
        file = re.match(r"/(?:resolve|blob)/[^/]+/(.+)$", rest or "")
        command = f"hf download {name}{f' {file[1]}' if file else ''}{' --repo-type dataset' if kind else ''}"
        raise _error(text, what, f"{command} --local-dir {name.rpartition('/')[2]}")
    match = _SCHEME.match(text)
    if match is None or os.path.lexists(text):
        return given
    scheme, address = match[1].lower(), f"{match[1]}://{text[match.end() :]}"
    if scheme == "file":
        import urllib.parse
        import urllib.request  # which takes long to import

        return urllib.request.url2pathname(urllib.parse.urlsplit(address).path or text[match.end() :])
    copy = "-r " if address.endswith("/") or "." not in address.rpartition("/")[2] else ""
    folder = f" {address.rstrip('/').rpartition('/')[2]}" if copy else " ."
    commands = {
        "s3": f"aws s3 cp {'--recursive ' if copy else ''}{address}{folder}",
        "gs": f"gcloud storage cp {copy}{address}{folder}",
        "http": f"curl -LO {address}",
        "https": f"curl -LO {address}",
    }
    raise _error(text, what, commands.get(scheme))


def _error(text: str, what: str, command: str | None) -> UsageError:
    how = f", such as by: {command}" if command else " by a program that knows it."
    return UsageError(f"{text} is an address, and {what} is read from this machine's files: download it first{how}")
