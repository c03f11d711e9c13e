"""The configuration of Terraform's command line that a pull request's calls get in place of the user's.

With an explicit ``provider_installation`` Terraform looks into no other place: not into ``terraform.d/plugins``
of the configuration, nor into the user's folders
(https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation).
"""

import json
import os
import tempfile
from pathlib import Path


def cli_configuration(mirror: Path | None) -> str:
    """The text: providers from an unpacked mirror alone, or else from their registries alone."""
    if mirror is None:
        source = "  direct {}\n"
    else:
        source = f"  filesystem_mirror {{\n    path = {json.dumps(str(mirror))}\n  }}\n"
    return f"disable_checkpoint = true\n\nprovider_installation {{\n{source}}}\n"


def write_cli_configuration(file: Path, mirror: Path | None) -> Path:
    """Write the text to ``file``, whole or not at all, readable by this user alone; returns the file."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, beside = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(cli_configuration(mirror))
    Path(beside).replace(file)
    return file
