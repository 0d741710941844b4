"""Webhooks of the gateway simulator: how they are written, signed and read.

The signature covers the time and the body, as the well-known gateways do it: a header `t=<unix seconds>,v1=<hex>`
with the HMAC-SHA256 of `<t>.<body>`. The time stops a recorded webhook from being played again much later.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime

from services.payment.gateway import BadSignature, CaptureReported, UnreadableReport

SIGNATURE_HEADER = "gateway-signature"
TOLERANCE_S = 300
"""How far the clocks of the two sides, and the way between them, may be apart."""
CAPTURE_REPORTED = "capture.reported"

_SIGNATURE = re.compile(r"t=([0-9]{1,11}),v1=([0-9a-f]{64})")


def webhook_secret(token_secret: str) -> bytes:
    """The webhooks' own secret, made of the one that every process of the stack knows already."""
    return hmac.digest(token_secret.encode(), b"larder gateway webhook", hashlib.sha256)


def notice_id(report: CaptureReported) -> str:
    """The name of the webhook that tells of a capture: one for each, however often it is sent."""
    return f"evt_{report.reference}"


def write(report: CaptureReported) -> str:
    """The body of a webhook."""
    data = {
        "reference": report.reference,
        "order_id": report.order_id,
        "key": report.key,
        "amount": report.amount,
        "at": report.at.isoformat(),
    }
    return json.dumps({"id": notice_id(report), "type": CAPTURE_REPORTED, "data": data})


def signed_headers(secret: bytes, body: bytes, now: datetime) -> dict[str, str]:
    """The headers to send a body with at a time."""
    at = str(int(now.timestamp()))
    return {SIGNATURE_HEADER: f"t={at},v1={_signature(secret, at, body)}", "content-type": "application/json"}


def read(secret: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> CaptureReported:
    """What a webhook tells. Raises BadSignature, or UnreadableReport when it is signed but tells something else."""
    said = next((value for name, value in headers.items() if name.lower() == SIGNATURE_HEADER), None)
    if said is None:
        raise BadSignature(f"the webhook has no header {SIGNATURE_HEADER}")
    match = _SIGNATURE.fullmatch(said)
    if match is None:
        raise BadSignature(f"the header {SIGNATURE_HEADER} is not of the form t=<unix seconds>,v1=<64 hex digits>")
    at, signature = match.groups()
    if not hmac.compare_digest(signature, _signature(secret, at, body)):
        raise BadSignature("the signature does not fit the webhook's body and time")
    if abs(now.timestamp() - int(at)) > TOLERANCE_S:
        raise BadSignature(f"the webhook was signed at {at}, more than {TOLERANCE_S} s from now")
    return _report(body)


def _signature(secret: bytes, at: str, body: bytes) -> str:
    return hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()


def _report(body: bytes) -> CaptureReported:
    try:
        said = json.loads(body)
        if said["type"] != CAPTURE_REPORTED:
            raise UnreadableReport(f"a webhook of type {said['type']!r} is not listened to")
        data = said["data"]
        at = datetime.fromisoformat(data["at"])
        report = CaptureReported(data["reference"], data["order_id"], data["key"], data["amount"], at)
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise UnreadableReport(f"the webhook's body is not a capture report: {wrong!r}") from wrong
    texts = (report.reference, report.order_id, report.key)
    if not all(isinstance(text, str) for text in texts) or type(report.amount) is not int or at.tzinfo is None:
        raise UnreadableReport("the webhook's body has fields of the wrong kind")
    return report
