"""The AWS emulator's own process: ``python -m ray_platform_sandbox.aws.server --port PORT``.

moto on 127.0.0.1, with what Terraform needs mended. Without the two mends below and those of
`emulator_eks`, a plan straight after an apply would not be empty.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ray_platform_sandbox.aws.conditional_writes import make_conditional_writes_atomic
from ray_platform_sandbox.aws.eks import ControlPlane, add_missing_eks_calls
from ray_platform_sandbox.aws.elasticache import add_missing_elasticache_calls
from ray_platform_sandbox.aws.extra_calls import add_missing_calls
from ray_platform_sandbox.aws.tagging import list_all_tagged_resources
from ray_platform_sandbox.services.processes import LOOPBACK


def mend(control_plane: ControlPlane | None) -> None:
    """Make moto 5.2.5 answer as AWS does where Terraform would see a difference."""
    from moto.ec2.models.launch_templates import LaunchTemplateVersion
    from moto.eks import models as eks_models

    # A node group without SSH access has no remoteAccess in EKS. moto makes one up, which Terraform
    # reads as a change that replaces the group.
    mended: Any = eks_models
    mended.DEFAULT_REMOTE_ACCESS = None

    # The tags asked for the launch template itself are kept out of its versions in EC2. moto stores
    # them among the tags for instances and volumes, which Terraform reads as a change.
    template_version: Any = LaunchTemplateVersion
    plain_init = template_version.__init__

    def init(self: Any, template: Any, number: int, data: dict[str, Any], description: str) -> None:
        if asked := data.get("TagSpecifications"):
            kept = [item for item in asked if item.get("ResourceType") != "launch-template"]
            data = {**data, "TagSpecifications": kept}
        plain_init(self, template, number, data, description)

    template_version.__init__ = init
    add_missing_eks_calls(control_plane)
    add_missing_calls()
    add_missing_elasticache_calls()
    make_conditional_writes_atomic()
    list_all_tagged_resources()


def serve(port: int, control_plane: ControlPlane | None) -> None:
    """Answer on the loopback port until ended."""
    # Read by moto when it is imported. The managed policies are what roles attach; without CORS no
    # page in a browser on this machine can talk to the emulator.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    mend(control_plane)
    server = make_server(
        LOOPBACK,
        port,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    server.serve_forever()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="The AWS emulator, on 127.0.0.1 only.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kubernetes", help="the address that EKS gives for its clusters")
    parser.add_argument("--authority", type=Path, help="the certificate to trust there")
    asked = parser.parse_args(arguments)
    control_plane = None
    if asked.kubernetes and asked.authority:
        authority = asked.authority.read_text(encoding="ascii")
        control_plane = ControlPlane(asked.kubernetes, authority)
    serve(asked.port, control_plane)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
