"""What is left of an environment is told from what others tagged alike, and from what goes by itself."""

from ray_platform.change.remains import Tagged, weigh

TAGS = {"environment": "dev", "managed-by": "terraform", "repo": "acme/ml"}


def left(*found: Tagged) -> tuple[str, ...]:
    return weigh(
        found, environment="dev", cluster="ray-platform-dev", repositories={"acme/ml"}
    ).left


def test_what_terraform_made_here_is_left() -> None:
    assert left(Tagged("arn:vpc", TAGS, "")) == ("arn:vpc",)


def test_another_environment_or_another_teams_dev_is_not() -> None:
    assert left(Tagged("arn:vpc", {**TAGS, "environment": "prod"}, "")) == ()
    assert left(Tagged("arn:vpc", {**TAGS, "repo": "acme/shop"}, "")) == ()
    assert left(Tagged("arn:vpc", {"environment": "dev"}, "")) == ()


def test_a_repository_that_was_renamed_since_does_not_hide_what_bears_the_clusters_name() -> None:
    renamed = {**TAGS, "repo": "acme/old"}
    assert left(Tagged("arn:role/ray-platform-dev-node", renamed, ""))
    assert left(Tagged("arn:subnet/1", {**renamed, "Name": "ray-platform-dev-a"}, ""))


def test_what_the_cluster_made_is_left_too() -> None:
    assert left(Tagged("arn:volume", {"kubernetes.io/cluster/ray-platform-dev": "owned"}, ""))
    assert left(Tagged("arn:balancer", {"elbv2.k8s.aws/cluster": "ray-platform-dev"}, ""))
    assert not left(Tagged("arn:balancer", {"elbv2.k8s.aws/cluster": "other"}, ""))


def test_what_goes_by_itself_is_named_with_its_reason_and_is_not_left() -> None:
    found = weigh(
        [Tagged("arn:key", TAGS, "AWS deletes it on 2026-12-21")],
        environment="dev",
        cluster="ray-platform-dev",
        repositories={"acme/ml"},
    )
    assert found.left == ()
    assert found.ending == ("arn:key (AWS deletes it on 2026-12-21)",)
