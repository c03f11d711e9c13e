"""One typed object per environment: the only reader of `os.environ` and of environment files.

Two files make an environment: ``environments/NAME.toml`` says what the platform does there (approvals,
budget, schedules, adapters), ``terraform/environments/NAME.tfvars`` what stands there (network, node pools).

Variables that the platform itself reads:

===============================  ==================================================================
``RAY_PLATFORM_ROOT``            the checkout; otherwise found from the working directory upwards
``RAY_PLATFORM_HOME``            where local state lives; default ``.ray_platform`` in the checkout
``RAY_PLATFORM_PORT_BASE``       first of the local ports (docs/reference/settings.md); 5580
``RAY_PLATFORM_TERRAFORM``       the Terraform or OpenTofu binary; default ``terraform``
``RAY_PLATFORM_PROVIDER_DIR``    an unpacked provider mirror; default: looked for, else downloaded
``RAY_PLATFORM_OPA``             the ``opa`` binary that judges policies; default: the library judges
``RAY_PLATFORM_STORAGE``         Dagster's storage in the home: ``sqlite`` or ``postgres``
``RAY_PLATFORM_POSTGRES_DIR``    the folder of PostgreSQL's programs; default: looked for
``RAY_PLATFORM_REPOSITORY``      the Git repository to watch; default: the checkout
``RAY_PLATFORM_BRANCH``          the branch to watch; default: the one checked out
``RAY_PLATFORM_LINEAGE_TOKEN``   the bearer token of the OpenLineage server
``RAY_PLATFORM_DAGSTER_URL``     where people reach the Dagster UI; default ``http://127.0.0.1:3000``
``KUBECONFIG``                   kubectl's files, for ``[kubernetes] context``; ``~/.kube/config``
===============================  ==================================================================

Those of the GitHub App (docs/how-to/set-up-the-github-app.md); without its id there is none:

=======================================  ==========================================================
``RAY_PLATFORM_GITHUB_APP_ID``           the App's id
``RAY_PLATFORM_GITHUB_PRIVATE_KEY_FILE`` its private key: a PEM file
``RAY_PLATFORM_GITHUB_PRIVATE_KEY``      or the key's text
``RAY_PLATFORM_GITHUB_KEY_SECRET``       or the name of a secret in AWS Secrets Manager
``RAY_PLATFORM_GITHUB_REPOSITORIES``     what to watch: ``OWNER/NAME``, separated by commas
``RAY_PLATFORM_GITHUB_API_URL``          default ``https://api.github.com``
``RAY_PLATFORM_GITHUB_WEBHOOK_FILE``     the secret that webhooks are signed with, in a file
=======================================  ==========================================================
"""

import copy
import functools
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ray_platform.config.environment_file import EnvironmentFile
from ray_platform.config.github_app import GitHubApp, read_github_app
from ray_platform.config.node_pools import NodePool, read_node_pools
from ray_platform.hcl.hcl_tokens import Unreadable
from ray_platform.hcl.variables_file import read_values
from ray_platform.text.errors import SettingsError
from ray_platform.text.redaction import is_secret_key

ROOT_MARK = "workspace.yaml"
#: Stands in the environment files where only their owner knows the value.
PLACEHOLDER = "CHANGE-ME"


class Environment:
    """One environment: its settings, and its variables (read when first asked for)."""

    def __init__(self, name: str, root: Path, file: EnvironmentFile) -> None:
        self.name = name
        self.root = root
        self.description = file.description
        self.cloud = file.cloud
        self.state = file.state
        self.artifacts = file.artifacts
        self.kubernetes = file.kubernetes
        self.ray = file.ray
        self.burst = file.burst
        self.approval = file.approval
        self.pull_requests = file.pull_requests
        self.budget = file.budget
        self.cost = file.cost
        self.drift = file.drift
        self.watch = file.watch
        self.lineage = file.lineage
        self.gitops = file.gitops

    @property
    def variables_file(self) -> Path:
        return self.root / "terraform" / "environments" / f"{self.name}.tfvars"

    @functools.cached_property
    def variables(self) -> Mapping[str, Any]:
        """The content of the variables file.

        Raises:
            SettingsError: missing or malformed.
        """
        return _read_variables(self.variables_file)

    @functools.cached_property
    def node_pools(self) -> tuple[NodePool, ...]:
        """The node pools, by name.

        Raises:
            SettingsError: the variables file has none, or one that is wrong.
        """
        return read_node_pools(self.variables, where=str(self.variables_file))

    def with_rules_of(self, current: "Environment") -> "Environment":
        """This environment's infrastructure, under the rules of ``current``'s settings.

        What an older commit says of the cloud, the state, the approvals, the budget and of where its
        manifests are committed to holds no more.
        """
        governed = copy.copy(self)
        for name in (
            *("cloud", "state", "artifacts", "kubernetes", "gitops"),
            *("approval", "pull_requests", "budget"),
        ):
            setattr(governed, name, getattr(current, name))
        return governed

    @property
    def uses_sandbox(self) -> bool:
        """Whether its cloud is the emulator of this machine; `session.adapters` chooses by it."""
        return self.cloud.emulator

    @property
    def is_set_up(self) -> bool:
        """Whether its owner has filled in where its state and artifacts lie."""
        return not self.unset

    @property
    def unset(self) -> tuple[str, ...]:
        """The settings that still hold a place holder, as in ``state.bucket = 'CHANGE-ME-...'``."""
        return tuple(
            f"{key} = {value!r}"
            for key, value in (
                ("state.bucket", self.state.bucket),
                ("artifacts.uri", self.artifacts.uri),
            )
            if PLACEHOLDER in value
        )

    @property
    def region(self) -> str:
        return str(self.variables.get("region", "us-east-1"))


class Settings:
    """The checkout, the home of local state, and the environments."""

    def __init__(self, root: Path, home: Path, variables: Mapping[str, str]) -> None:
        self.root = root
        self.home = home
        self._variables = variables
        self.terraform_binary = variables.get("RAY_PLATFORM_TERRAFORM", "terraform")
        self.provider_dir = variables.get("RAY_PLATFORM_PROVIDER_DIR", "")
        self.opa_binary = variables.get("RAY_PLATFORM_OPA", "")
        self.postgres_dir = variables.get("RAY_PLATFORM_POSTGRES_DIR", "")
        self.repository = variables.get("RAY_PLATFORM_REPOSITORY", str(root))
        self.branch = variables.get("RAY_PLATFORM_BRANCH", "")
        self.dagster_url = variables.get("RAY_PLATFORM_DAGSTER_URL", "http://127.0.0.1:3000")
        self.openlineage_token = variables.get("RAY_PLATFORM_LINEAGE_TOKEN", "")
        # As kubectl: the files that KUBECONFIG names, else the one of the home.
        named = variables.get("KUBECONFIG", "").split(os.pathsep)
        self.kubeconfig_files = tuple(Path(name) for name in named if name) or (
            Path.home() / ".kube" / "config",
        )
        #: Set by Kubernetes in each of its pods.
        self.is_in_cluster = "KUBERNETES_SERVICE_HOST" in variables
        self.port_base = _port(variables.get("RAY_PLATFORM_PORT_BASE", "5580"))

    def run_url(self, run_id: str) -> str:
        """The address of a run in the Dagster UI."""
        return f"{self.dagster_url.rstrip('/')}/runs/{run_id}"

    @functools.cached_property
    def github(self) -> GitHubApp | None:
        """The GitHub App, or None where none is set up.

        Raises:
            SettingsError: it is set up by half.
        """
        if "RAY_PLATFORM_GITHUB_APP_ID" in self._variables:
            return read_github_app(self._variables)
        try:
            return read_github_app(json.loads(self.github_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise SettingsError(
                "the file of the local GitHub's App is malformed",
                where=str(self.github_file),
                fix="remove it, then `make up GITHUB=local`",
            ) from error

    @property
    def github_file(self) -> Path:
        """The variables of the local GitHub's App, where one was set up in this home."""
        return self.home / "github-app.json"

    @property
    def dagster_storage(self) -> Literal["sqlite", "postgres"]:
        """What holds Dagster's history: as asked for, else PostgreSQL where the home has one, else SQLite.

        Raises:
            SettingsError: another kind is asked for.
        """
        asked = self._variables.get("RAY_PLATFORM_STORAGE", "")
        if asked not in ("", "sqlite", "postgres"):
            raise SettingsError(
                f"RAY_PLATFORM_STORAGE is {asked!r}",
                where="environment variable",
                fix="give sqlite or postgres",
            )
        if not asked:
            return "postgres" if (self.home / "postgres").is_dir() else "sqlite"
        return "postgres" if asked == "postgres" else "sqlite"

    def at(self, root: Path) -> "Settings":
        """The same machine and home, with the files of another checkout."""
        return Settings(
            root, self.home, {"RAY_PLATFORM_REPOSITORY": self.repository, **self._variables}
        )

    @property
    def terraform_root(self) -> Path:
        return self.root / "terraform"

    @property
    def policy_root(self) -> Path:
        return self.root / "policies"

    @property
    def ray_chart(self) -> Path:
        return self.root / "helm" / "ray"

    @property
    def platform_chart(self) -> Path:
        return self.root / "helm" / "platform"

    @property
    def workload(self) -> Path:
        return self.root / "workloads" / "bursty_training.py"

    @functools.cached_property
    def environment_names(self) -> tuple[str, ...]:
        """In the order of promotion; others follow by name."""
        order = {"local": 0, "dev": 1, "staging": 2, "prod": 3}
        names = [path.stem for path in (self.root / "environments").glob("*.toml")]
        return tuple(sorted(names, key=lambda name: (order.get(name, len(order)), name)))

    def environment(self, name: str) -> Environment:
        """One environment by its name.

        Raises:
            SettingsError: unknown, or its file is malformed.
        """
        return _read_environment(self, name)


def _read_environment(settings: Settings, name: str) -> Environment:
    if name not in settings.environment_names:
        raise SettingsError(
            f"there is no environment {name!r}",
            where=str(settings.root / "environments"),
            fix=f"use one of: {', '.join(settings.environment_names)}",
        )
    path = settings.root / "environments" / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        file = EnvironmentFile.model_validate(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the environment file is malformed: {error}", where=str(path), fix="mend the line"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(
            f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            where=str(path),
            fix="compare it with environments/local.toml",
        ) from error
    return Environment(name, settings.root, file)


def _read_variables(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError(
            "the environment has no variables file",
            where=str(path),
            fix="copy terraform/environments/dev.tfvars and set its values",
        ) from error
    try:
        variables: Mapping[str, Any] = read_values(text)
    except Unreadable as error:
        raise SettingsError(
            f"the variables file is malformed at line {error.line}: {error.why}",
            where=f"{path}:{error.line}",
            fix="correct the line; `terraform fmt -check` points at it too",
        ) from error
    return variables


#: The beginnings of the variables by which this platform and what it stands on are set up.
_OWN = ("RAY_PLATFORM_", "DAGSTER_", "MLFLOW_", "OPENLINEAGE_")
#: What git, its hooks and its helpers have no use for.
NOT_FOR_GIT = (*_OWN, "AWS_", "TF_", "GITHUB_", "GH_", "ACTIONS_", "PG")


def _port(text: str) -> int:
    if not text.isdigit() or not 1024 <= int(text) <= 65000:
        raise SettingsError(
            f"RAY_PLATFORM_PORT_BASE is {text!r}",
            where="environment variable",
            fix="give a port from 1024 to 65000",
        )
    return int(text)


def find_root(start: Path) -> Path:
    """The checkout: the nearest folder upwards of ``start`` that holds ``workspace.yaml`` and ``terraform/``.

    Raises:
        SettingsError: none of the folders above is a checkout.
    """
    for folder in (start, *start.parents):
        if (folder / ROOT_MARK).is_file() and (folder / "terraform").is_dir():
            return folder
    raise SettingsError(
        "this folder is not in a ray_platform checkout",
        where=str(start),
        fix="change to the checkout, or set RAY_PLATFORM_ROOT to it",
    )


def keep_private(home: Path) -> None:
    """Let nobody else read what this process writes from now on, nor what is in the home.

    Compute logs, mirrors, checkouts, plans and the App's data are all below the home. Run as root with a
    PostgreSQL in the home, others may pass through the home itself, since that server runs as another user;
    its folders stay closed.
    """
    os.umask(os.umask(0o077) | 0o077)
    if not home.is_dir():
        return
    passed_through = os.geteuid() == 0 and (home / "postgres").is_dir()
    _close(home, 0o711 if passed_through else 0o700)
    for folder in home.iterdir():
        if not folder.is_symlink() and folder.is_dir():
            _close(folder, 0o700)


def _close(folder: Path, mode: int) -> None:
    """Take rights of others away; a folder that is not ours is its owner's matter."""
    try:
        status = folder.stat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o077 & ~mode:
            folder.chmod(mode)
    except FileNotFoundError:
        return  # removed in between


@functools.cache
def load_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: no checkout is found, or a variable is wrong.
    """
    variables = dict(os.environ)
    if root_text := variables.get("RAY_PLATFORM_ROOT"):
        root = find_root(Path(root_text).resolve())
    else:
        try:
            root = find_root(Path.cwd())
        except SettingsError:
            root = find_root(Path(__file__).resolve().parent)
    home = Path(variables.get("RAY_PLATFORM_HOME") or root / ".ray_platform").resolve()
    keep_private(home)
    return Settings(root, home, variables)


def child_environment(
    extra: Mapping[str, str] | None = None, *, without: tuple[str, ...] = ()
) -> dict[str, str]:
    """This process's environment for a child process, with ``extra`` on top.

    The platform's own secrets (the App's key, tokens of lineage servers, Dagster's database) stay here: no
    child needs them. Nor does it get what begins with one of ``without``.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith(_OWN) and is_secret_key(name)) and not name.startswith(without)
    }
    return {**kept, **(extra or {})}
