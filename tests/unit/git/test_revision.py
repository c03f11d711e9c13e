"""Changed paths ask for work."""

import pytest

from ray_platform.git.revision import Revision, work_for


@pytest.mark.parametrize(
    ("paths", "work"),
    [
        (["terraform/modules/vpc/main.tf"], ("change",)),
        (["terraform/environments/dev.tfvars"], ("change",)),
        (["environments/dev.toml"], ("change",)),
        (["helm/ray/values.yaml"], ("ray_cluster",)),
        (["workloads/bursty_training.py"], ("burst",)),
        (["policies/terraform.rego"], ("policy",)),
        (["policies/data.json", "helm/ray/values.yaml"], ("policy", "ray_cluster")),
        (["terraform/main.tf", "helm/ray/values.yaml", "policies/data.json"], ("change",)),
        (["terraform/main.tf", "workloads/bursty_training.py"], ("change", "burst")),
        (["README.md", "docs/how-to/change-a-policy.md", "terraform/README.md", "tests/x.py"], ()),
        (["terraform/environments/prod.tfvars", "environments/prod.toml"], ()),
        (["helm/platform/values.yaml", "kubernetes/base/quota.yaml"], ()),
    ],
)
def test_changed_paths_ask_for_work_in_the_order_of_the_walk(
    paths: list[str], work: tuple[str, ...]
) -> None:
    assert work_for(paths, "dev") == work


def test_a_revision_survives_its_json_and_says_that_it_is_dirty() -> None:
    revision = Revision("c0ffee" * 6, "main", "A change", "d" * 64)
    assert Revision.from_json(revision.to_json()) == revision
    assert "uncommitted" in str(revision)
    assert not Revision("c0ffee").dirty
