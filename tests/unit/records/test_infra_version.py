"""An infra version is the content of what stands, and of nothing else."""

from dataclasses import replace

from ray_platform.records.infra_version import (
    Applied,
    Ray,
    infra_version,
    manifest,
    same_infrastructure,
    stable,
)

APPLIED = Applied(
    commit="c" * 40,
    changes_digest="",
    configuration_digest="1" * 64,
    variables_digest="2" * 64,
    provider_lock_digest="3" * 64,
    plan_digest="4" * 64,
    state_lineage="lineage",
    state_serial=3,
    modules={"vpc": "5" * 64, "eks_cluster": "6" * 64, "node_pools": "7" * 64, "storage": "8" * 64},
    policy_bundle_digest="9" * 64,
    price_book_version="a" * 64,
)
RAY = Ray("b" * 64, "c" * 64, "d" * 64, "rayproject/ray:2.60.0-py311", "2.60.0")


def version(applied: Applied = APPLIED, ray: Ray | None = RAY) -> str:
    return infra_version(manifest("local", applied, ray))


def test_equal_content_has_an_equal_version_and_any_other_content_another() -> None:
    assert version() == version(Applied.from_json(APPLIED.to_json()), Ray.from_json(RAY.to_json()))
    others = [
        version(replace(APPLIED, **{field: value}))  # type: ignore[arg-type]
        for field, value in {
            "commit": "d" * 40,
            "changes_digest": "e" * 64,
            "configuration_digest": "e" * 64,
            "variables_digest": "e" * 64,
            "provider_lock_digest": "e" * 64,
            "plan_digest": "e" * 64,
            "state_lineage": "other",
            "state_serial": 4,
            "modules": {**APPLIED.modules, "vpc": "e" * 64},
            "policy_bundle_digest": "e" * 64,
            "price_book_version": "e" * 64,
        }.items()
    ]
    others += [version(ray=None), version(ray=replace(RAY, version="2.61.0"))]
    assert len({version(), *others}) == len(others) + 1


def test_a_dirty_tree_is_marked_in_the_manifest() -> None:
    assert manifest("local", replace(APPLIED, changes_digest="e" * 64), RAY)["dirty"] is True
    assert manifest("local", APPLIED, RAY)["dirty"] is False


def test_another_commit_with_the_same_content_is_the_same_infrastructure() -> None:
    assert same_infrastructure(APPLIED, replace(APPLIED, commit="d" * 40, plan_digest="e" * 64))
    assert not same_infrastructure(APPLIED, replace(APPLIED, variables_digest="e" * 64))


def test_what_moves_by_itself_is_left_out_of_a_modules_content() -> None:
    group = {
        "scaling_config": [{"min_size": 2, "desired_size": 4}],
        "tags_all": {"commit": "c", "repo": "r"},
    }
    assert stable(group) == {"scaling_config": [{"min_size": 2}], "tags_all": {"repo": "r"}}
