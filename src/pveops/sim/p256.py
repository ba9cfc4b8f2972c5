"""The elliptic curve P-256: keys and ECDSA signatures, for certificates of the simulated cluster.

For simulation only: nothing here is hardened against timing. It exists so that a cluster with
proper certificates can be started on a machine that has nothing but Python.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_A = P - 3
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]


class Key(NamedTuple):
    """A private key and its public point."""

    secret: int
    public: Point

    @property
    def public_bytes(self) -> bytes:
        """The uncompressed point."""
        x, y = self.public
        return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def make_key() -> Key:
    """A fresh key."""
    secret = secrets.randbelow(N - 1) + 1
    return Key(secret, _multiply(secret, _G))


def sign(key: Key, message: bytes) -> tuple[int, int]:
    """An ECDSA signature of the message's SHA-256."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        nonce = secrets.randbelow(N - 1) + 1
        r = _multiply(nonce, _G)[0] % N
        s = pow(nonce, -1, N) * (digest + r * key.secret) % N
        if r and s:
            return r, s


def _multiply(factor: int, point: Point) -> Point:
    """Double and add, in Jacobian coordinates so that only one inversion is needed."""
    result = (0, 1, 0)
    addend = (point[0], point[1], 1)
    while factor:
        if factor & 1:
            result = _add(result, addend)
        addend = _double(addend)
        factor >>= 1
    x, y, z = result
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * inverse * inverse * inverse % P


def _double(point: tuple[int, int, int]) -> tuple[int, int, int]:
    x, y, z = point
    if not z:
        return point
    square = y * y % P
    s = 4 * x * square % P
    m = (3 * x * x + _A * pow(z, 4, P)) % P
    new_x = (m * m - 2 * s) % P
    return new_x, (m * (s - new_x) - 8 * square * square) % P, 2 * y * z % P


def _add(a: tuple[int, int, int], b: tuple[int, int, int]) -> tuple[int, int, int]:
    if not a[2]:
        return b
    if not b[2]:
        return a
    za, zb = a[2] * a[2] % P, b[2] * b[2] % P
    ua, ub = a[0] * zb % P, b[0] * za % P
    sa, sb = a[1] * zb * b[2] % P, b[1] * za * a[2] % P
    if ua == ub:
        return _double(a) if sa == sb else (0, 1, 0)
    h, r = (ub - ua) % P, (sb - sa) % P
    hh = h * h % P
    hhh, v = h * hh % P, ua * hh % P
    x = (r * r - hhh - 2 * v) % P
    return x, (r * (v - x) - sa * hhh) % P, a[2] * b[2] * h % P
