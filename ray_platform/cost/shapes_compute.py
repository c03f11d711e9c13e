"""Shapes of what computes: node groups, autoscaling groups, instances, their volumes; Fargate."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ray_platform.cost.reading import (
    AttributeView,
    Free,
    Item,
    Note,
    Part,
    Quantity,
    Use,
    above,
    always,
    not_known,
    times,
)
from ray_platform.cost.surroundings import Surroundings, index
from ray_platform.terraform.plan import ResourceChange

#: EKS gives a node this much when nothing says otherwise, in GB.
#: Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html (diskSize).
DEFAULT_VOLUME_GB = Decimal(20)
#: What a gp3 volume has without a further charge: https://aws.amazon.com/ebs/pricing/.
GP3_IOPS, GP3_MBPS = 3000, 125
#: The tiers of io2: up to this many IOPS at the price of tier 1, and so on. Same source.
_IO2_TIERS = (32_000, 64_000)
_BY_REQUIREMENTS = "AWS chooses the instance types by instance_requirements"
_NODE_DISK = (
    "A node's disk without a volume type is taken as gp3, and one without a size as 20 GB, as EKS's own "
    "images have them."
)


def volume_parts(
    look: AttributeView, what: str, default_types: tuple[str, ...], size_name: str = "volume_size"
) -> Iterator[Part]:
    """One EBS volume: its size, and the IOPS and throughput above what is included.

    Args:
        look: The block or resource with ``volume_type`` or ``type``, ``iops`` and ``throughput``.
        what: Names it.
        default_types: What AWS may take where the type is not set.
        size_name: The attribute of the size in GB.
    """
    type_name = "type" if size_name == "size" else "volume_type"
    kind = look.text(type_name, default="")
    size = look.number(size_name)
    if kind is None:
        yield not_known(what, f"its {type_name} is not known")
        return
    kinds = (kind,) if kind else default_types
    skus = tuple(f"ebs/{name}" for name in kinds)
    yield Part(f"{what}: {_shown(size)} GB {' or '.join(kinds)}", skus, size, size, volume_gb=size)
    if kind == "gp3":
        iops = above(look.number("iops", default=Decimal(GP3_IOPS)), GP3_IOPS)
        if iops != 0:
            yield always(f"{what}: IOPS above {GP3_IOPS}", "ebs/gp3-iops", iops)
        mbps = above(look.number("throughput", default=Decimal(GP3_MBPS)), GP3_MBPS)
        if mbps != 0:
            yield always(f"{what}: MB/s above {GP3_MBPS}", "ebs/gp3-throughput", mbps)
    elif kind == "io1":
        yield always(f"{what}: provisioned IOPS", "ebs/io1-iops", look.number("iops"))
    elif kind == "io2":
        iops = look.number("iops")
        first, second = _IO2_TIERS
        yield always(
            f"{what}: provisioned IOPS",
            "ebs/io2-iops",
            None if iops is None else min(iops, Decimal(first)),
        )
        if iops is not None and iops > first:
            tier = min(iops, Decimal(second)) - first
            yield always(f"{what}: IOPS above {first}", "ebs/io2-iops-tier-2", tier)
        if iops is not None and iops > second:
            yield always(f"{what}: IOPS above {second}", "ebs/io2-iops-tier-3", iops - second)


def node_group(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    pool = str(index(change.address) or look.raw("node_group_name") or change.name)
    scaling = look.blocks("scaling_config")
    if not scaling:
        why = (
            "scaling_config is known only after apply"
            if look.is_unknown("scaling_config")
            else ("scaling_config is empty: EKS needs min_size and max_size")
        )
        yield Part(f"nodes of {pool}", (), None, None, why, pool)
        return
    low, high = scaling[0].number("min_size"), scaling[0].number("max_size")
    template: Mapping[str, Any] | None = None
    why = ""
    blocks = look.blocks("launch_template")
    has_template = bool(blocks) or look.is_unknown("launch_template")
    if has_template:
        block = blocks[0].values if blocks else {}
        template, why = around.launch_template(change, block, side)
    types = _texts(look.raw("instance_types"))
    if not types and template is not None:
        types = _texts([template.get("instance_type")])
    if look.is_unknown("instance_types"):
        types, why_types = [], "instance_types is known only after apply"
    else:
        # Without a value EKS takes t3.medium.
        why_types = why if has_template and template is None else ""
        if not types and (template or {}).get("instance_requirements"):
            why_types = _BY_REQUIREMENTS
        types = types or ([] if why_types else ["t3.medium"])
    capacity = look.text("capacity_type", default="ON_DEMAND")
    sizes = f"{_shown(low)} to {_shown(high)} {' or '.join(types) or 'nodes'}"
    kinds = {"SPOT": ("ec2-spot",), None: ("ec2-spot", "ec2")}.get(capacity, ("ec2",))
    skus = tuple(f"{kind}/{name}" for kind in kinds for name in types)
    spot = " (spot)" if capacity == "SPOT" else ""
    yield Part(f"nodes of {pool}: {sizes}{spot}", skus, low, high, why_types, pool)
    if has_template and template is None:
        yield Part(f"volumes of {pool}", (), Decimal(1), Decimal(1), why, pool)
        return
    yield from _for_nodes(_disks(look, template), pool, low, high)
    if template is None or not _is_sized(template):
        yield Note(_NODE_DISK)


def autoscaling_group(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    name = str(look.raw("name") or change.name)
    low, high = look.number("min_size"), look.number("max_size")
    mixed = look.blocks("mixed_instances_policy")
    spec = _first(_first(look.raw("mixed_instances_policy")).get("launch_template"))
    block = _first(look.raw("launch_template")) or _first(spec.get("launch_template_specification"))
    template, why = around.launch_template(change, block, side)
    if template is None:
        yield not_known(f"instances of {name}", why)
        return
    overrides = spec.get("override") or ()
    types = _texts([item.get("instance_type") for item in overrides]) if mixed else []
    by_requirements = any(item.get("instance_requirements") for item in (*overrides, template))
    types = [] if by_requirements else types or _texts([template.get("instance_type")])
    percent = _first(_first(look.raw("mixed_instances_policy")).get("instances_distribution")).get(
        "on_demand_percentage_above_base_capacity"
    )
    kinds = ["ec2"] if not mixed or percent in (None, 100, "100") else ["ec2", "ec2-spot"]
    skus = tuple(f"{kind}/{item}" for kind in kinds for item in types)
    why = "" if types else _BY_REQUIREMENTS if by_requirements else "no instance type is named"
    yield Part(f"instances of {name}: {' or '.join(types)}", skus, low, high, why)
    yield from _for_nodes(_disks(look, template), "", low, high, name)


def instance(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    kind = look.text("instance_type")
    tenancy = look.text("tenancy", default="default")
    market = look.blocks("instance_market_options")
    spot = bool(market) and market[0].text("market_type", default="spot") == "spot"
    family = "ec2-spot" if spot else "ec2" if tenancy == "default" else f"ec2-{tenancy}"
    if kind is None:
        yield not_known("instance", "its instance_type is not known")
    else:
        yield always(f"instance {kind}", f"{family}/{kind}")
    roots = look.blocks("root_block_device")
    if not roots:
        yield not_known("root volume", "the image decides the size of the root volume")
    for number, block in enumerate([*roots, *look.blocks("ebs_block_device")]):
        yield from volume_parts(block, f"volume {number + 1}", ("gp2", "gp3"))
    if look.flag("associate_public_ip_address") and look.raw("associate_public_ip_address"):
        yield always("public IPv4 address", "public_ipv4")
    if look.flag("monitoring"):
        yield Use("detailed monitoring", "detailed_monitoring")
    yield Note("Instances are priced as Linux: the plan does not say what their image runs.")


def volume(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield from volume_parts(look, "volume", ("gp2",), "size")


def fargate_profile(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Use("vCPUs of the pods that run on it", "fargate_vcpu")
    yield Use("memory of the pods that run on it", "fargate_gb")


def container_service(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    """A service of ECS: on Fargate by the size of its tasks; on instances nothing by itself."""
    if look.blocks("capacity_provider_strategy"):
        yield not_known("tasks", "capacity_provider_strategy decides what they run on")
        return
    kind = look.text("launch_type", default="EC2")
    if kind != "FARGATE":
        yield Free("its tasks run on instances") if kind else not_known("tasks", "launch_type")
        return
    name = look.raw("task_definition")
    found = [
        values
        for _, values in around.of("aws_ecs_task_definition", side)
        if name and name in (values.get("arn"), values.get("family"))
    ] or [
        v for _, v in around.referenced(change, "task_definition", "aws_ecs_task_definition", side)
    ]
    if len(found) != 1:
        yield not_known("tasks", "its task definition is not one of this plan")
        return
    task = AttributeView(found[0], {}, None)
    task.reasons = look.reasons
    count = look.number("desired_count", default=Decimal(0))
    cpu, memory = (times(task.number(name), Decimal(1) / 1024) for name in ("cpu", "memory"))
    yield always("vCPUs of its tasks", "fargate_vcpu", times(cpu, count))
    yield always("memory of its tasks, GB", "fargate_gb", times(memory, count))


def launch_template(
    look: AttributeView, change: ResourceChange, around: Surroundings, side: str
) -> Iterator[Item]:
    yield Free("what is started from it is billed")


def _for_nodes(
    disks: Sequence[Part], pool: str, low: Quantity, high: Quantity, name: str = ""
) -> Iterator[Part]:
    """The disks of one node, for all of them."""
    for disk in disks:
        yield Part(
            f"volumes of {pool or name}: {_shown(low)} to {_shown(high)} {disk.what}",
            disk.skus,
            times(disk.low, low),
            times(disk.high, high),
            disk.why,
            pool,
            disk.volume_gb,
        )


def _disks(look: AttributeView, template: Mapping[str, Any] | None) -> list[Part]:
    """The disks of one node: its launch template's, else the one that EKS gives it."""
    found: list[Part] = []
    for mapping in (template or {}).get("block_device_mappings") or ():
        for block in mapping.get("ebs") or ():
            ebs = AttributeView(block, {}, None)
            ebs.reasons = look.reasons
            if ebs.raw("volume_size") in (None, "", 0):
                ebs = AttributeView({**block, "volume_size": DEFAULT_VOLUME_GB}, {}, None)
            found += volume_parts(_without_zeros(ebs, look), "disk", ("gp3",))
    if found:
        return found
    size = (
        look.number("disk_size", default=DEFAULT_VOLUME_GB)
        if template is None
        else DEFAULT_VOLUME_GB
    )
    size = DEFAULT_VOLUME_GB if size == 0 else size
    return [Part(f"disk: {_shown(size)} GB gp3", ("ebs/gp3",), size, size, volume_gb=size)]


def _without_zeros(ebs: AttributeView, look: AttributeView) -> AttributeView:
    """The provider reads an unset IOPS or throughput back as 0."""
    clean = AttributeView({k: v for k, v in ebs.values.items() if v not in (0, "")}, {}, None)
    clean.reasons = look.reasons
    return clean


def _is_sized(template: Mapping[str, Any]) -> bool:
    return all(
        ebs.get("volume_size") and ebs.get("volume_type")
        for mapping in template.get("block_device_mappings") or [{"ebs": [{}]}]
        for ebs in mapping.get("ebs") or ()
    )


def _first(blocks: Any) -> Mapping[str, Any]:
    return (
        blocks[0] if isinstance(blocks, list) and blocks and isinstance(blocks[0], Mapping) else {}
    )


def _texts(values: Any) -> list[str]:
    return [str(item) for item in values if item] if isinstance(values, list) else []


def _shown(quantity: Quantity) -> str:
    return "?" if quantity is None else f"{quantity.normalize():f}"
