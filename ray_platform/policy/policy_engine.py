"""The Rego rules of ``policies/``, evaluated by OPA where its binary is named, else by rego-cpp (regopy).

docs/explanation/policy-engine.md says why there are two and how they are held to one answer. Whatever goes
wrong refuses: a rule file that cannot be read, a number that is missing and a query without an answer are
errors, never an empty list of violations.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ray_platform.config.node_pools import NodePool
from ray_platform.policy.opa_process import OpaProcess
from ray_platform.policy.policy_exceptions import FILE as EXCEPTIONS_FILE
from ray_platform.policy.policy_exceptions import (
    PolicyException,
    apply_exceptions,
    read_exceptions,
)
from ray_platform.policy.rego_library import RegoLibrary, escaped
from ray_platform.policy.verdict import (
    Verdict,
    both,
    hidden_fields,
    manifests_input,
    not_whole,
    policy_input,
    ray_input,
    read_verdict,
    split_input,
    with_index,
)
from ray_platform.terraform.plan import Plan
from ray_platform.text.canonical import digest_files
from ray_platform.text.errors import SettingsError

__all__ = ["PolicyEngine", "escaped"]

#: The numbers that the rules of each package need: (name, what it must be).
_NUMBERS: Mapping[str, type] = {
    "max_cpu_nodes": int,
    "max_gpu_nodes": int,
    "max_ray_gpus": int,
    "instance_types": list,
    "gpu_families": list,
    "gpu_taint_keys": list,
    "refused_node_kinds": list,
    "root_devices": list,
    "encryption_switches": dict,
    "bucket_encryption": list,
    "required_tags": list,
    "protected_types": list,
    "refused_policies": list,
    "own_accounts": list,
    "floating_tags": list,
}


#: What is asked of the rules.
_ENTRIES = (
    "terraform/rules",
    "terraform/unusable_settings",
    "terraform/findings",
    "terraform/findings_of_each",
    "terraform/findings_of_whole",
    "terraform/findings_of_buckets",
    "ray/rules",
    "ray/unusable_settings",
    "ray/findings",
    "kubernetes/rules",
    "kubernetes/unusable_settings",
    "kubernetes/findings",
)


class PolicyEngine:
    """The policies of one folder: every ``*.rego`` below it but the tests, and ``data.json``.

    The texts are read when first needed and kept; an engine belongs to one checkout.

    Args:
        policy_root: The folder.
        opa: The ``opa`` binary that judges; empty for the library.
    """

    def __init__(self, policy_root: Path, opa: str = "") -> None:
        self.policy_root, self.opa = policy_root, opa

    @functools.cached_property
    def bundle_digest(self) -> str:
        """Names the rules and their data by content.

        Raises:
            SettingsError: there are none, or one cannot be read.
        """
        return digest_files(
            [
                *((name, text.encode()) for name, text in self._texts.items()),
                ("data.json", self._data_text.encode()),
                (EXCEPTIONS_FILE, self._exceptions_text.encode()),
            ]
        )

    @property
    def bundle(self) -> Mapping[str, Any]:
        """What the digest stands for: the rules by file, and their data."""
        return {
            "rules": dict(self._texts),
            "data": self._data,
            "exceptions": self._exceptions_text,
        }

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that have numbers."""
        return tuple(sorted(self._data["policy"]["environments"]))

    @property
    def fields(self) -> Mapping[str, Sequence[str]]:
        """Resource type -> the attributes that the rules read."""
        fields: Mapping[str, Sequence[str]] = self._data["policy"]["fields"]
        return fields

    def check_plan(
        self, plan: Plan, environment: str, destroy: bool = False, today: date | None = None
    ) -> Verdict:
        """What the rules of ``policies/terraform.rego`` say of a plan, without what is excepted.

        Args:
            plan: The plan.
            environment: Whose numbers hold.
            destroy: Whether the removal of everything was asked for: protected resources may go.
            today: The day in UTC that decides whether an exception holds; today's without it.

        Raises:
            SettingsError: the environment has no numbers, or a policy file is wrong.
        """
        numbers = self._require_numbers(environment)
        asked = policy_input(
            plan,
            environment=environment,
            destroy=destroy,
            fields=self.fields,
            accounts=numbers["own_accounts"],
            protected=numbers["protected_types"],
        )
        found = (
            self._judged_whole(asked)
            if self._judge.takes_whole_plans
            else self._judged_parts(asked)
        )
        verdict = read_verdict(found, self.bundle_digest)
        hidden = Verdict((*hidden_fields(plan, self.fields), *not_whole(plan)), self.bundle_digest)
        return apply_exceptions(
            both(verdict, hidden),
            self.exceptions,
            environment=environment,
            today=today or datetime.now(UTC).date(),
        )

    def _judged_whole(self, asked: Mapping[str, Any]) -> list[Mapping[str, str]]:
        answers = self._answers(
            with_index(asked, self.fields), "terraform/unusable_settings", "terraform/findings"
        )
        return [item for answer in answers for item in answer]

    def _judged_parts(self, asked: Mapping[str, Any]) -> list[Mapping[str, str]]:
        whole, parts = split_input(asked, self.fields)
        found = self._answers(
            whole,
            "terraform/unusable_settings",
            "terraform/findings_of_whole",
            "terraform/findings_of_buckets",
        )
        for part in parts:
            found += self._answers(part, "terraform/findings_of_each")
        return [item for answer in found for item in answer]

    def check_ray(
        self,
        documents: Sequence[Mapping[str, Any]],
        pools: Sequence[NodePool],
        environment: str,
    ) -> Verdict:
        """What the rules of ``policies/ray.rego`` say of rendered manifests.

        Args:
            documents: Kubernetes manifests.
            pools: The node pools that the workers run on.
            environment: Whose numbers hold.

        Raises:
            SettingsError: the environment has no numbers, or a policy file is wrong.
        """
        self._require_numbers(environment)
        return self.evaluate("ray", ray_input(documents, pools, environment=environment))

    def check_manifests(self, documents: Sequence[Mapping[str, Any]], environment: str) -> Verdict:
        """What the rules of ``policies/kubernetes.rego`` say of manifests, Ray's or a team's.

        Args:
            documents: All manifests of a release: network policies count for the pods beside them.
            environment: Whose numbers hold.

        Raises:
            SettingsError: the environment has no numbers, or a policy file is wrong.
        """
        self._require_numbers(environment)
        return self.evaluate("kubernetes", manifests_input(documents, environment=environment))

    @functools.cached_property
    def exceptions(self) -> tuple[PolicyException, ...]:
        """The entries of ``exceptions.toml``; none where there is no such file.

        Raises:
            SettingsError: an entry is wrong.
        """
        catalogues = self._answers({}, "terraform/rules", "ray/rules", "kubernetes/rules")
        names = {rule for catalogue in catalogues for rule in catalogue}
        return read_exceptions(
            self._exceptions_text, rules=names, where=str(self.policy_root / EXCEPTIONS_FILE)
        )

    @functools.cached_property
    def _exceptions_text(self) -> str:
        path = self.policy_root / EXCEPTIONS_FILE
        return _read(path) if path.exists() else ""

    def rules(self, package: str) -> Mapping[str, Mapping[str, str]]:
        """The catalogue of a package: rule id -> ``what``, ``why``, ``fix``."""
        rules: Mapping[str, Mapping[str, str]] = self._answers({}, f"{package}/rules")[0]
        return rules

    def evaluate(self, package: str, asked: Mapping[str, Any]) -> Verdict:
        """The verdict of one package on an input of its own shape.

        ``findings`` is asked for, not the set ``deny``: see the head of terraform.rego.

        Raises:
            SettingsError: a policy file is wrong.
        """
        answers = self._answers(asked, f"{package}/unusable_settings", f"{package}/findings")
        return read_verdict([found for answer in answers for found in answer], self.bundle_digest)

    def interpreter(self, extra: Mapping[str, str] | None = None) -> Any:
        """A new `regopy.Interpreter`: the rules, their data and ``extra`` modules (name -> text)."""
        return self._library.interpreter(extra)

    @functools.cached_property
    def _library(self) -> RegoLibrary:
        return RegoLibrary(self.policy_root, self._texts, self._data_text, _ENTRIES)

    @functools.cached_property
    def _judge(self) -> "RegoLibrary | OpaProcess":
        if self.opa:
            return OpaProcess(self.opa, self._texts, self._data_text)
        return self._library

    def _answers(self, asked: Mapping[str, Any], *entries: str) -> list[Any]:
        return self._judge.answers(asked, entries)

    @functools.cached_property
    def _texts(self) -> Mapping[str, str]:
        paths = sorted(self.policy_root.rglob("*.rego"))
        texts = {
            path.relative_to(self.policy_root).as_posix(): _read(path)
            for path in paths
            if not path.name.endswith("_test.rego")
        }
        if not texts:
            raise SettingsError(
                "there are no policies",
                where=str(self.policy_root),
                fix="restore policies/ from the repository: without rules nothing is allowed",
            )
        return texts

    @functools.cached_property
    def _data_text(self) -> str:
        return _read(self.policy_root / "data.json")

    @functools.cached_property
    def _data(self) -> Mapping[str, Any]:
        path = self.policy_root / "data.json"
        try:
            data = json.loads(self._data_text)
        except json.JSONDecodeError as error:
            raise SettingsError(
                f"the policies' data is not JSON: {error.msg}",
                where=f"{path}:{error.lineno}",
                fix="mend the line",
            ) from error
        policy = data.get("policy") if isinstance(data, dict) else None
        for key in ("defaults", "environments", "fields"):
            if not isinstance(policy, dict) or not isinstance(policy.get(key), dict):
                raise SettingsError(
                    f"the policies' data has no object policy.{key}", where=str(path), fix="add it"
                )
        return dict(data)

    def _require_numbers(self, environment: str) -> Mapping[str, Any]:
        path = self.policy_root / "data.json"
        policy = self._data["policy"]
        if environment not in policy["environments"]:
            raise SettingsError(
                f"the policies have no numbers for the environment {environment!r}",
                where=str(path),
                fix=f"use one of: {', '.join(self.environments)}; or add it to policy.environments",
            )
        numbers = {**policy["defaults"], **policy["environments"][environment]}
        for key, kind in _NUMBERS.items():
            value = numbers.get(key)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise SettingsError(
                    f"{key} of {environment} is {value!r}",
                    where=str(path),
                    fix=f"set it to a JSON value of the kind {kind.__name__}",
                )
        if unknown := sorted(set(policy["environments"][environment]) - set(_NUMBERS)):
            raise SettingsError(
                f"the policies know no number called {unknown[0]!r}",
                where=str(path),
                fix=f"use one of: {', '.join(sorted(_NUMBERS))}",
            )
        return numbers


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"a policy file cannot be read: {error}", where=str(path), fix="restore it"
        ) from error
