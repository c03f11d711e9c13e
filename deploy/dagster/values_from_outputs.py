"""What Dagster's chart needs to know of an environment, from Terraform's outputs.

    terraform -chdir=terraform output -json > outputs.json
    python deploy/dagster/values_from_outputs.py outputs.json --tag platform-COMMIT > values-outputs.yaml

The answer goes to Helm after values.yaml and values-ENV.yaml. It holds names, no secrets.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

VALUES = Path(__file__).resolve().parent / "values.yaml"


def values_from(outputs: Mapping[str, Any], tag: str) -> dict[str, Any]:
    """The values that an environment's outputs decide.

    Args:
        outputs: The content of ``terraform output -json``.
        tag: The image's tag in the environment's registry.

    Raises:
        SystemExit: the environment has no database (``platform`` in its variables file).
    """
    out = {name: item["value"] for name, item in outputs.items()}
    database = out.get("database")
    if database is None:
        raise SystemExit(
            f"the environment {out['environment']} has no database: set platform.database = true in "
            f"terraform/environments/{out['environment']}.tfvars and apply it"
        )
    image = {"repository": out["registry_url"], "tag": tag, "pullPolicy": "IfNotPresent"}
    # Helm replaces a list as a whole, so the code location's other values are said again.
    read = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    deployments = [
        {**deployment, "image": image}
        for deployment in read["dagster-user-deployments"]["deployments"]
    ]
    return {
        "serviceAccount": {
            "annotations": {"eks.amazonaws.com/role-arn": out["role_arns"]["dagster"]}
        },
        "postgresql": {
            "postgresqlHost": database["host"],
            "postgresqlUsername": database["user"],
            "postgresqlDatabase": database["name"],
            "service": {"port": database["port"]},
        },
        "dagsterWebserver": {"image": image},
        "dagsterDaemon": {"image": image},
        "dagster-user-deployments": {"deployments": deployments},
        "computeLogManager": {
            "config": {
                "s3ComputeLogManager": {"bucket": out["artifact_bucket"], "region": out["region"]}
            }
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("outputs", type=Path, help="the file of `terraform output -json`")
    parser.add_argument("--tag", required=True, help="the image's tag, platform-COMMIT")
    asked = parser.parse_args()
    outputs = json.loads(asked.outputs.read_text(encoding="utf-8"))
    yaml.safe_dump(values_from(outputs, asked.tag), sys.stdout, sort_keys=True)


if __name__ == "__main__":
    main()
