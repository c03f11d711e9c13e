"""The emulator's Redis is as closed as AWS's: users come by groups, a replication group has its clusters."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from ray_platform_sandbox.aws.service import Emulator

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform")]


def users_of(client: Any, group: str) -> list[str]:
    (found,) = client.describe_user_groups(UserGroupId=group)["UserGroups"]
    return list(found["UserIds"])


def test_a_user_group_needs_a_default_user_and_changes_its_users_at_once(
    emulator: Emulator,
) -> None:
    client = emulator.client("elasticache")
    for name, user in (("nobody", "default"), ("other", "default"), ("ray", "ray")):
        client.create_user(
            UserId=name,
            UserName=user,
            Engine="redis",
            AccessString="off ~* -@all",
            AuthenticationMode={"Type": "no-password-required"},
        )
    with pytest.raises(ClientError, match="named default is required"):
        client.create_user_group(UserGroupId="g", Engine="redis", UserIds=["ray"])
    with pytest.raises(ClientError, match="mallory not found"):
        client.create_user_group(UserGroupId="g", Engine="redis", UserIds=["nobody", "mallory"])
    tags = [{"Key": "environment", "Value": "local"}]
    made = client.create_user_group(UserGroupId="g", Engine="redis", UserIds=["nobody"], Tags=tags)
    assert client.list_tags_for_resource(ResourceName=made["ARN"])["TagList"] == tags
    client.modify_user_group(UserGroupId="g", UserIdsToAdd=["ray"])
    assert users_of(client, "g") == ["nobody", "ray"]
    with pytest.raises(ClientError, match="named default is required"):
        client.modify_user_group(UserGroupId="g", UserIdsToRemove=["nobody"])
    client.modify_user_group(UserGroupId="g", UserIdsToAdd=["other"], UserIdsToRemove=["nobody"])
    assert users_of(client, "g") == ["ray", "other"]
    client.delete_user_group(UserGroupId="g")
    with pytest.raises(ClientError, match="g not found"):
        users_of(client, "g")
    for name in ("nobody", "other", "ray"):
        client.delete_user(UserId=name)


def test_a_replication_group_has_a_cluster_for_each_node_until_it_is_deleted(
    emulator: Emulator,
) -> None:
    client = emulator.client("elasticache")
    client.create_replication_group(
        ReplicationGroupId="redis",
        ReplicationGroupDescription="x",
        CacheNodeType="cache.t4g.small",
        Engine="redis",
        EngineVersion="7.1",
        NumCacheClusters=2,
        AutomaticFailoverEnabled=True,
        AtRestEncryptionEnabled=True,
        TransitEncryptionEnabled=True,
        SecurityGroupIds=["sg-1"],
    )
    (group,) = client.describe_replication_groups(ReplicationGroupId="redis")["ReplicationGroups"]
    assert group["MemberClusters"] == ["redis-001", "redis-002"]
    for name in group["MemberClusters"]:
        (cluster,) = client.describe_cache_clusters(CacheClusterId=name)["CacheClusters"]
        assert cluster["AtRestEncryptionEnabled"] and cluster["TransitEncryptionEnabled"]
        assert cluster["SecurityGroups"] == [{"SecurityGroupId": "sg-1", "Status": "active"}]
    client.delete_replication_group(ReplicationGroupId="redis")
    with pytest.raises(ClientError, match="not found"):
        client.describe_replication_groups(ReplicationGroupId="redis")
    assert client.describe_cache_clusters()["CacheClusters"] == []
