"""No secret leaves the process: the last filter before anything is printed, logged or raised.

Two nets: the exact secrets that this process has handled (`register_secret`), however we may
have encoded them, and the shapes of PVE's own secrets for those it has not.
"""

from __future__ import annotations

import binascii
import re
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

MASK = "[redacted]"
_SHORTEST = 5
"""Shorter values would blot out ordinary words. PVE takes no shorter password."""
_SHORTEST_PART = 8
_SHORTEST_SHAPE = 24
"""No ticket, token or key is as short as that; most names are."""
_CODE_LENGTH = 8
_ESCAPED = "{1,16}"
"""So many backslashes: each JSON text in another one doubles them."""

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SHAPES = (
    # Each after a text that has to be there, since looking for that is cheap. What may repeat
    # is bounded wherever it could begin anew within itself: others write what is searched.
    ("PVE", re.compile(r"PVE(?:API|:)?Token(?:[= ]|%3D)[^\s\"']+")),
    (
        "PVE",
        re.compile(
            r"PVE[A-Z]{0,16}(?::|%3A)(?:[^\s:\"']{1,200}?(?::|%3A))?[0-9A-F]{8,16}(?::|%3A){2}"
            r"[\w+/=%\-]+"
        ),
    ),
    (":", re.compile(r"(?<=\b[0-9A-F]{8}):[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])")),
    ("%3A", re.compile(r"(?<=\b[0-9A-F]{8})%3A(?:[A-Za-z0-9]|%2[BF]){43}(?![A-Za-z0-9])")),
    ("ticket=", re.compile(r"(?<=ticket=)[^&\s\"']+")),
    ("!", re.compile(rf"![A-Za-z][\w.\-]*=(?:{_UUID})")),
    ("%21", re.compile(rf"%21[A-Za-z][\w.\-]*(?:=|%3D)(?:{_UUID})")),
    (
        "-----BEGIN",
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
    ),
    ("AGE-", re.compile(r"AGE-(?:SECRET-KEY|PLUGIN-[A-Z0-9\-]{1,64})-1[A-Z0-9]+")),
    # From the beginning of a word, of which it is known by then that two more parts follow.
    (
        "eyJ",
        re.compile(
            r"(?<![\w\-])(?=[\w\-]++\.[\w\-]++\.[\w\-])"
            r"(?:[\w\-]*?-)??eyJ[\w\-]++\.[\w\-]++\.[\w\-]+"
        ),
    ),
)
_SECRET_NAMES = re.compile(
    r"password|passwd|cipassword|sshkeys|ssh-public-keys|ticket|csrfpreventiontoken|secret"
    r"|^value$|^token$|authorization|cookie|^otp$|recovery|privkey|keyring|encryption-key"
    r"|master-pubkey|tfa-challenge|^code$|api[-_]?key|hmac|^keys$",
    re.IGNORECASE,
)

_NAMED_LINE = re.compile(r"^([ \t-]{0,40}([\w-]{1,64})[ \t]?:[ \t]{1,8})\S.*$", re.MULTILINE)


class Redactor:
    """Knows secrets, and takes them out of texts. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._literals: tuple[str, ...] = ()
        self._patterns: dict[str, re.Pattern[str]] = {}

    def register(self, value: str) -> None:
        """Have `value` masked from now on, as it is and as any encoding of ours writes it."""
        if len(value) < _SHORTEST:
            return
        forms = set(_forms(value))
        with self._lock:
            literals = {*self._literals, *filter(_is_literal, forms)}
            # The longest first: a part that is masked would hide the whole from its pattern.
            self._literals = tuple(sorted(literals, key=len, reverse=True))
            found = {form: _compile(form) for form in forms if not _is_literal(form)}
            patterns = {**self._patterns, **found}
            self._patterns = dict(sorted(patterns.items(), key=lambda item: -len(item[0])))

    def redact(self, text: str) -> str:
        """`text` without secrets."""
        for pattern in self._patterns.values():
            text = pattern.sub(MASK, text)
        for literal in self._literals:
            if literal in text:
                text = text.replace(literal, MASK)
        if len(text) >= _SHORTEST_SHAPE:
            for needle, shape in _SHAPES:
                if needle in text:
                    text = shape.sub(MASK, text)
        return text


_process = Redactor()


def register_secret(value: str) -> None:
    """Have `value` masked in everything that this process prints, logs or raises."""
    _process.register(value)


def redact(text: str) -> str:
    """`text` without secrets."""
    return _process.redact(text)


def redact_value(value: Any, name: str = "") -> Any:
    """A JSON-like value without secrets; members whose name tells a secret are masked whole."""
    if name and isinstance(value, str | int) and value != "" and tells_secret(name):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {
            redact(key) if isinstance(key, str) else key: redact_value(item, str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact_value(item, name) for item in value]
    return value


@lru_cache(maxsize=1024)
def tells_secret(name: str) -> bool:
    """Whether what stands under this name is secret."""
    return _SECRET_NAMES.search(name) is not None


def mask_lines(text: str) -> str:
    """A text of `name: value` lines, such as cloud-init's, without the values that are secret."""
    return _NAMED_LINE.sub(
        lambda found: f"{found[1]}{MASK}" if tells_secret(found[2]) else found[0], text
    )


def redact_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Request parameters without secrets."""
    return {key: redact_value(item, key) for key, item in params.items()}


def _forms(value: str) -> Iterator[str]:
    """The texts that give `value` away to whoever can read one."""
    yield value
    if len(value) == _CODE_LENGTH:
        yield f"{value[:4]}-{value[4:]}"  # as consent codes are written
    data = value.encode("utf-8", "surrogatepass")
    for shift, skipped in enumerate((0, 2, 3)):
        # Within other data base64 looks different at each of three offsets; of each, the
        # characters that depend on the value alone.
        coded = binascii.b2a_base64(bytes(shift) + data, newline=False).decode()
        part = coded[skipped : (shift + len(data)) * 8 // 6]
        if len(part) >= _SHORTEST_PART:
            yield part
            yield part.translate({ord("+"): "-", ord("/"): "_"})


def _is_literal(form: str) -> bool:
    """Whether no encoding of ours changes it."""
    return form.isascii() and form.replace("-", "").replace("_", "").isalnum()


def _compile(form: str) -> re.Pattern[str]:
    """A pattern for `form` with each character plain, escaped or percent-encoded."""
    return re.compile("".join(map(_spell, form)))


def _spell(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    octets = character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass")
    coded = "".join(f"%(?:25)?(?i:{octet:02x})" for octet in octets)
    escaped = "".join(
        rf"\\{_ESCAPED}u(?i:{units[at]:02x}{units[at + 1]:02x})" for at in range(0, len(units), 2)
    )
    if character <= "\xff":
        escaped += rf"|\\{_ESCAPED}x(?i:{ord(character):02x})"
    letter = {"\n": "n", "\t": "t", "\r": "r"}.get(character)
    short = rf"\\{_ESCAPED}{letter}" if letter else r"\+" if character == " " else None
    plain = rf"\\{{0,16}}{re.escape(character)}"
    return f"(?:{'|'.join(filter(None, (plain, coded, escaped, short)))})"
