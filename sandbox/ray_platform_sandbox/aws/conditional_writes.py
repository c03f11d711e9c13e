"""S3's compare-and-swap, which moto 5.2.5 answers in two steps: looked at, then written.

Terraform's lock and the platform's lease rest on it: of two writers at once, one must lose.
"""

import functools
import threading
from typing import Any


def make_conditional_writes_atomic() -> None:
    """Let one write or removal of an object be judged and done at a time. To be called once a process."""
    from moto.s3.responses import S3Response

    guard = threading.RLock()  # a copy is judged within a put
    responses: Any = S3Response
    for name in ("put_object", "delete_object"):
        plain = getattr(responses, name)

        @functools.wraps(plain)
        def call(self: Any, plain: Any = plain) -> Any:
            with guard:
                return plain(self)

        setattr(responses, name, call)
