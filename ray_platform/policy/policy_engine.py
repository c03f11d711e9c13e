"""The Rego rules of ``policies/``, evaluated in this process by rego-cpp (regopy).

Whatever goes wrong refuses: a rule file that cannot be read, a number that is missing and a query
without an answer are errors, never an empty list of violations.
"""

import functools
import json
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_platform.config.node_pools import NodePool
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
)
from ray_platform.terraform.plan import Plan
from ray_platform.text.canonical import digest_files
from ray_platform.text.errors import SettingsError

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
    "floating_tags": list,
}


#: What is asked of the rules.
_ENTRIES = (
    "terraform/rules",
    "terraform/unusable_settings",
    "terraform/findings",
    "terraform/findings_of_each",
    "terraform/findings_of_whole",
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
    """

    def __init__(self, policy_root: Path) -> None:
        self.policy_root = policy_root
        # One interpreter holds one input at a time.
        self._lock = threading.Lock()

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
            ]
        )

    @property
    def bundle(self) -> Mapping[str, Any]:
        """What the digest stands for: the rules by file, and their data."""
        return {"rules": dict(self._texts), "data": self._data}

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that have numbers."""
        return tuple(sorted(self._data["policy"]["environments"]))

    @property
    def fields(self) -> Mapping[str, Sequence[str]]:
        """Resource type -> the attributes that the rules read."""
        fields: Mapping[str, Sequence[str]] = self._data["policy"]["fields"]
        return fields

    def check_plan(self, plan: Plan, environment: str, destroy: bool = False) -> Verdict:
        """What the rules of ``policies/terraform.rego`` say of a plan.

        Args:
            plan: The plan.
            environment: Whose numbers hold.
            destroy: Whether the removal of everything was asked for: protected resources may go.

        Raises:
            SettingsError: the environment has no numbers, or a policy file is wrong.
        """
        self._require_numbers(environment)
        asked = policy_input(plan, environment=environment, destroy=destroy, fields=self.fields)
        whole, parts = split_input(asked, self.fields)
        found = self._answers(whole, "terraform/unusable_settings", "terraform/findings_of_whole")
        for part in parts:
            found += self._answers(part, "terraform/findings_of_each")
        verdict = read_verdict([item for answer in found for item in answer], self.bundle_digest)
        hidden = Verdict((*hidden_fields(plan, self.fields), *not_whole(plan)), self.bundle_digest)
        return both(verdict, hidden)

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
        """A new `regopy.Interpreter`: the rules, their data and ``extra`` modules (name -> text).

        Raises:
            SettingsError: a policy file has an error; ``where`` names file and line.
        """
        import regopy

        interpreter = regopy.Interpreter()
        # rego-cpp prints errors on stdout by itself, in the middle of `--json`.
        interpreter.log_level = regopy.LogLevel.NONE
        for name, text in {**self._texts, **(extra or {})}.items():
            try:
                interpreter.add_module(name, text)
            except regopy.RegoError as error:
                raise _syntax_error(self.policy_root, text, name, str(error)) from error
        interpreter.add_data_json(self._data_text)
        return interpreter

    @functools.cached_property
    def _compiled(self) -> tuple[Any, Any]:
        """The rules, compiled once: compiling takes 70 ms, a query of what is compiled 1 ms."""
        import regopy

        interpreter = self.interpreter()
        try:
            bundle = interpreter.build(None, _ENTRIES)
        except regopy.RegoError as error:
            raise _undecided(self.policy_root, str(error)) from error
        if not bundle.ok():
            raise _undecided(self.policy_root, "they do not compile")
        return interpreter, bundle

    def _answers(self, asked: Mapping[str, Any], *entries: str) -> list[Any]:
        import regopy

        with self._lock:
            interpreter, bundle = self._compiled
            interpreter.set_input(escaped(asked))
            answers = []
            for entry in entries:
                try:
                    output = interpreter.query_bundle_entrypoint(bundle, entry)
                except (regopy.RegoError, json.JSONDecodeError) as error:
                    # regopy parses whatever rego-cpp answers, also its own error nodes.
                    raise _undecided(self.policy_root, f"{entry}: {error}") from error
                # str() of an output that is not ok crashes the process: only ok() is asked.
                if not (output.ok() and output.results and output.results[0].expressions):
                    raise _undecided(self.policy_root, f"{entry} is undefined")
                answers.append(output.results[0].expressions[0])
        return answers

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

    def _require_numbers(self, environment: str) -> None:
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


def _undecided(root: Path, reason: str) -> SettingsError:
    return SettingsError(
        f"the policies give no answer: {' '.join(reason.split())[:300]}",
        where=str(root),
        fix="mend the rules; `opa check policies` or tests/policies find the line",
    )


def escaped(value: Any) -> Any:
    """Text as rego-cpp holds it: escaped as in JSON, or ``this["gpu"]`` breaks its output."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1]
    if isinstance(value, Mapping):
        return {escaped(key): escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"a policy file cannot be read: {error}", where=str(path), fix="restore it"
        ) from error


#: rego-cpp tells a place as LENGTH:FILE|OFFSET|LENGTH and a text as errormsg LENGTH:TEXT.
_PLACE = re.compile(r"\(error \d+:(?P<file>[^|]+)\|(?P<offset>\d+)\|\d+")
_MESSAGE = re.compile(r"errormsg \d+:(?P<text>[^\n]*?)\)?$", re.MULTILINE)


def _syntax_error(root: Path, text: str, name: str, report: str) -> SettingsError:
    place, message = _PLACE.search(report), _MESSAGE.search(report)
    where = str(root / name)
    if place:
        # The offset counts bytes.
        line = text.encode()[: int(place["offset"])].count(b"\n") + 1
        where = f"{where}:{line}"
    what = message["text"] if message else " ".join(report.split())[:200]
    return SettingsError(f"a policy file has an error: {what}", where=where, fix="mend the line")
