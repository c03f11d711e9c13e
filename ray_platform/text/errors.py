"""Every failure that a user can cause, as one tree.

::

    PlatformError               what happened, where, what to do now; exit code 1
    ├── SettingsError           an environment or variables file, a flag or a variable is wrong
    ├── ToolError               an outside program is missing, too old, or refused
    │   └── TerraformError      a terraform call failed; carries its diagnostics
    ├── PlanFormatError         a file is not a plan that this version can read
    ├── StateError              the Terraform state cannot be read, written or locked
    ├── GitError                the repository or a commit in it cannot be read
    ├── LocalServiceError       the emulator or a local Ray node does not start or answer
    ├── KubernetesError         the Kubernetes API or a Helm release on it failed; carries the HTTP code
    ├── SyncError               Argo CD has not brought the cluster to the commit that was pushed
    ├── RayError                the Ray cluster or a Ray job failed
    ├── ForgeError              GitHub does not answer, or refuses
    │   └── RateLimited         GitHub asks to wait; carries the seconds
    ├── ArtifactError           the artifact store cannot be read or written, or lies
    ├── FactsError              what Dagster's storage holds of an asset cannot be read by this version
    ├── NotFoundError           no such run, plan, infra version
    └── Refused                 the answer is no; exit code 2
        ├── PolicyDenied        a policy rule denies the plan
        ├── OverBudget          a month would cost more than the budget
        ├── NotApproved         an approval is missing or void
        ├── StalePlan           the state moved on after the plan was made
        ├── LiveRunsHarmed      the plan takes away what live burst runs run on
        ├── StillThere          something is left after a removal
        └── BusyError           another change holds the environment
"""

from ray_platform.text.redaction import redact_text


class PlatformError(Exception):
    """A failure told in one message, from which secrets are masked: it goes into logs and comments.

    Args:
        what: What happened, one sentence without a full stop at its end.
        where: The file, resource, address or environment it happened at.
        fix: What to do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what = redact_text(what)
        self.where = redact_text(where)
        self.fix = redact_text(fix)
        super().__init__(str(self))

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text += f"\n  where: {self.where}"
        if self.fix:
            text += f"\n  what to do: {self.fix}"
        return text


class SettingsError(PlatformError):
    """An environment or variables file, a flag or a variable is wrong."""


class ToolError(PlatformError):
    """An outside program is missing, too old, or refused."""


class TerraformError(ToolError):
    """A terraform call failed."""


class PlanFormatError(PlatformError):
    """A file is not a plan that this version can read."""


class StateError(PlatformError):
    """The Terraform state cannot be read, written or locked."""


class GitError(PlatformError):
    """The repository or a commit in it cannot be read."""


class LocalServiceError(PlatformError):
    """The emulator or a local Ray node does not start or answer."""


class KubernetesError(PlatformError):
    """The Kubernetes API does not answer or refuses, or a Helm release on it failed.

    Args:
        what: As `PlatformError`.
        where: As `PlatformError`.
        fix: As `PlatformError`.
        code: The HTTP status of the refusal; 0: there was no answer.
        reason: Kubernetes' word for it, as in ``NotFound``.
    """

    def __init__(
        self, what: str, *, where: str = "", fix: str = "", code: int = 0, reason: str = ""
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.code = code
        self.reason = reason


class SyncError(PlatformError):
    """Argo CD has not brought the cluster to the commit that was pushed."""


class RayError(PlatformError):
    """The Ray cluster or a Ray job failed."""


class ForgeError(PlatformError):
    """GitHub does not answer, or refuses."""


class RateLimited(ForgeError):
    """GitHub asks to wait.

    Args:
        what, where, fix: As in `PlatformError`.
        wait_seconds: For how long.
    """

    def __init__(
        self, what: str, *, where: str = "", fix: str = "", wait_seconds: float = 60
    ) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(what, where=where, fix=fix)


class ArtifactError(PlatformError):
    """The artifact store cannot be read or written, or its content does not match its name."""


class FactsError(PlatformError):
    """Facts in Dagster's metadata are missing, malformed, or of a later schema."""


class NotFoundError(PlatformError):
    """No such run, plan or infra version."""


class Refused(PlatformError):
    """Nothing is broken: the answer is no."""

    exit_code = 2


class PolicyDenied(Refused):
    """A policy rule denies the plan."""


class OverBudget(Refused):
    """A month would cost more than the environment's budget."""


class NotApproved(Refused):
    """An approval is missing, or void because the plan or the state changed."""


class StalePlan(Refused):
    """The state moved on after the plan was made."""


class LiveRunsHarmed(Refused):
    """The plan takes away what live burst runs run on."""


class StillThere(Refused):
    """Something that bears the environment's tags is left after its removal."""


class BusyError(Refused):
    """Another change holds the environment."""
