"""Some four hundred mutations over the resource types of `terraform/`, by boto3 against the emulator."""

from collections.abc import Callable, Iterator

from tests.support.drift_mutation import Lab, Mutation
from tests.support.drift_mutations.access import keys, roles
from tests.support.drift_mutations.beside import unmanaged
from tests.support.drift_mutations.cluster import control_plane, launch_templates, node_groups
from tests.support.drift_mutations.gone import gone_and_made_again
from tests.support.drift_mutations.networks import networks, security_groups
from tests.support.drift_mutations.state import provider_defaults, unapplied_changes
from tests.support.drift_mutations.storage import buckets, registry_logs_and_addons
from tests.support.drift_mutations.tags import tags


def every_mutation(lab: Lab) -> list[Mutation]:
    makers: tuple[Callable[[Lab], Iterator[Mutation]], ...] = (
        security_groups,
        networks,
        control_plane,
        node_groups,
        launch_templates,
        roles,
        keys,
        buckets,
        registry_logs_and_addons,
        tags,
        unapplied_changes,
        provider_defaults,
        unmanaged,
        gone_and_made_again,
    )
    return [mutation for maker in makers for mutation in maker(lab)]
