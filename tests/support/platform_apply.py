"""Applies the module `platform` with everything on against the emulator, and plans it again.

By hand, since AWS's provider waits nearly two minutes for the database and Redis however fast they are there:

    python -m tests.support.platform_apply

Exit code 0: applied, the second plan empty, removed again. The suite plans, judges and prices the same module
for every environment (test_terraform.py).
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ray_platform_sandbox.aws.service import ensure_emulator, stop_emulator

from ray_platform.config.settings import child_environment
from ray_platform.terraform.provider_mirror import find_provider_mirror
from tests.integration.conftest import ROOT, make_settings

EVERYTHING = """
platform = {
  database                = true
  redis                   = true
  multi_az                = true
  deletion_protection     = false
  database_instance_class = "db.m6g.large"
  database_gib            = 100
  database_max_gib        = 500
  database_backup_days    = 30
  redis_node_type         = "cache.t4g.medium"
}
"""


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="ray-platform-platform-"))
    settings = make_settings(folder / "home")
    emulator = ensure_emulator(settings)
    mirror = find_provider_mirror()
    root = folder / "tests" / "data" / "platform_root"
    shutil.copytree(Path(__file__).resolve().parents[1] / "data" / "platform_root", root)
    shutil.copytree(ROOT / "terraform" / "modules", folder / "terraform" / "modules")
    shutil.copy(ROOT / "terraform" / ".terraform.lock.hcl", root)
    (root / "everything.auto.tfvars").write_text(EVERYTHING, encoding="utf-8")
    env = {**emulator.environment(child_environment()), "TF_CLI_CONFIG_FILE": "/dev/null"}

    def terraform(*arguments: str) -> int:
        return subprocess.run(
            ["terraform", *arguments, "-no-color", "-input=false"], cwd=root, env=env, check=False
        ).returncode

    try:
        if terraform("init", *([f"-plugin-dir={mirror}"] if mirror else [])):
            return 1
        if terraform("apply", "-auto-approve"):
            return 1
        changed = terraform("plan", "-detailed-exitcode")
        gone = terraform("destroy", "-auto-approve")
        return changed or gone
    finally:
        stop_emulator(settings)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
