"""Who may talk to the API: the holder of its secret, by a plain token or by one that EKS would take.

EKS takes ``k8s-aws-v1.`` and a presigned STS request that names the cluster in a signed header
(https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html). AWS asks
STS whether it is genuine. Here the secret that signs it is the API's own, so that the signature is
checked in place; the emulator's well-known keys would let in everybody on this machine.
"""

import base64
import datetime
import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlsplit

PREFIX = "k8s-aws-v1."
#: EKS takes a token for 15 minutes, whatever the request in it says.
LIFETIME_SECONDS = 15 * 60
CLUSTER_HEADER = "x-k8s-aws-id"
_TIME = "%Y%m%dT%H%M%SZ"


def is_allowed(header: str, secret: str, now: datetime.datetime) -> bool:
    """Whether an ``Authorization`` header shows the secret.

    Args:
        header: As sent.
        secret: The API's.
        now: With a time zone.
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return False
    if hmac.compare_digest(token.encode(), secret.encode()):
        return True
    return token.startswith(PREFIX) and _is_genuine(token.removeprefix(PREFIX), secret, now)


def _is_genuine(encoded: str, secret: str, now: datetime.datetime) -> bool:
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        url = urlsplit(base64.urlsafe_b64decode(padded).decode())
        query = dict(parse_qsl(url.query, strict_parsing=True))
        made = datetime.datetime.strptime(query["X-Amz-Date"], _TIME).replace(tzinfo=datetime.UTC)
        _, day, region, service, _ = query["X-Amz-Credential"].split("/")
        signed = query["X-Amz-SignedHeaders"].split(";")
        signature = query.pop("X-Amz-Signature")
    except (ValueError, KeyError):
        return False
    if query.get("Action") != "GetCallerIdentity" or signed != ["host", CLUSTER_HEADER]:
        return False
    age = (now - made).total_seconds()
    if not -60 <= age <= LIFETIME_SECONDS:
        return False
    # The header's value is the cluster's name: one API, one cluster, so the holder of the secret
    # may name it as Terraform does; it stands in the access key's place of the credential.
    cluster = query["X-Amz-Credential"].partition("/")[0]
    canonical = "\n".join(
        (
            "GET",
            url.path or "/",
            "&".join(f"{quote(k, safe='')}={quote(v, safe='~')}" for k, v in sorted(query.items())),
            f"host:{url.netloc}\n{CLUSTER_HEADER}:{cluster}\n",
            ";".join(signed),
            hashlib.sha256(b"").hexdigest(),
        )
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n" + (
        hashlib.sha256(canonical.encode()).hexdigest()
    )
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)
