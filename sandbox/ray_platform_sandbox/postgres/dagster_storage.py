"""Dagster's storage on this machine, as `dagster.yaml` names it: SQLite, or the PostgreSQL of the home.

Dagster loads this class in each of its processes, so that `dagster dev`, its daemon, its runs and
`ray-platform` keep one history without a variable or an address that they would have to agree on.
"""

from collections.abc import Mapping
from typing import Any, Self

# Dagster asks for a class with this base; nothing else imports this module.
from dagster._core.storage.base_storage import DagsterStorage  # noqa: TID253
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from ray_platform.config.settings import load_settings
from ray_platform_sandbox.postgres.service import ensure_postgres


class LocalStorage(DagsterStorage, ConfigurableClass):
    """Never made itself: `from_config_value` answers with the storage that the settings choose."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> Self:
        """Dagster's own SQLite or PostgreSQL storage; the PostgreSQL is started where it does not run.

        Raises:
            SettingsError: the variable names another kind of storage.
            LocalServiceError: PostgreSQL is not installed or does not start.
        """
        settings = load_settings()
        storage: Any
        if settings.dagster_storage == "postgres":
            from dagster_postgres import DagsterPostgresStorage

            url = ensure_postgres(settings).url
            storage = DagsterPostgresStorage(postgres_url=url, inst_data=inst_data)
        else:
            from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

            folder = settings.home / "dagster" / "storage"
            storage = DagsterSqliteStorage(base_dir=str(folder), inst_data=inst_data)
        made: Self = storage
        return made
