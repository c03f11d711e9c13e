"""A look at a pull request's Terraform configuration before Terraform runs it.

A plan runs code: programs of ``data "external"``, providers, modules from anywhere; an apply also runs
provisioners. And it reads: secrets by data sources, files of this machine by ``file()``, other states. So
what a configuration may hold is listed, and all else is refused, in the text, before anything is loaded.
What cannot be read in one way alone is refused too. It is a net under the review and the plan's own
identity, not a sandbox: what an allowed provider itself can be talked into, it does not see.
"""

import posixpath
from collections.abc import Iterator, Mapping

from ray_platform.hcl.hcl_blocks import Body, read_configuration, read_template
from ray_platform.hcl.hcl_tokens import Unreadable
from ray_platform.policy.configuration_rules import TEMPLATES, GuardRules
from ray_platform.policy.configuration_tree import TreeEntry
from ray_platform.policy.guard_blocks import FolderBlocks
from ray_platform.policy.guard_expressions import (
    call_findings,
    template_findings,
    variables_findings,
)
from ray_platform.policy.guard_files import file_findings, is_readable, too_much
from ray_platform.policy.guard_findings import GuardFinding, Judged, judged
from ray_platform.text.errors import PolicyDenied

SHOWN = 10


def guard(
    files: Mapping[str, TreeEntry],
    base: Mapping[str, TreeEntry] | None,
    rules: GuardRules,
) -> tuple[GuardFinding, ...]:
    """All that a Terraform folder holds and a pull request's may not, by file and line.

    Args:
        files: The pull request's Terraform folder, as `read_tree` gives it.
        base: The base branch's, likewise; None to judge without one.
        rules: What the base branch allows beyond the built-in lists.
    """
    what = judged(files, base, rules)
    if (large := too_much(what)) is not None:
        return (large,)
    found = [*file_findings(what), *_content_findings(what)]
    return tuple(
        sorted(
            {item for item in found if item.name not in rules.allow},
            key=lambda item: (item.file, item.line, item.rule, item.what),
        )
    )


def require_harmless(
    files: Mapping[str, TreeEntry],
    base: Mapping[str, TreeEntry],
    rules: GuardRules,
    *,
    where: str,
) -> None:
    """Refuse a pull request's Terraform folder that holds what it may not; arguments as `guard`.

    Args:
        where: The pull request and environment, for the message.

    Raises:
        PolicyDenied: with each finding's file and line.
    """
    found = guard(files, base, rules)
    if not found:
        return
    told = "; ".join(f"terraform/{item.place}: {item.what}" for item in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(item.name for item in found[:SHOWN]))
    raise PolicyDenied(
        "the configuration was not planned, since a plan would run, load or read what it may not: "
        f"{told}{more}",
        where=f"{where}, terraform/{found[0].place}",
        fix=f"{found[0].fix}; or first merge {names} into `allow` of policies/pull_requests.toml on the "
        "base branch, by a change that a person reviews (docs/explanation/pull-request-guard.md)",
    )


def _content_findings(what: Judged) -> Iterator[GuardFinding]:
    folders: dict[str, dict[str, Body]] = {}
    for path, entry in sorted(what.files.items()):
        if entry.content is None or not is_readable(path, entry):
            continue
        try:
            if path.endswith(".tf"):
                body = read_configuration(entry.content.decode())
                folders.setdefault(posixpath.dirname(path), {})[path] = body
                yield from call_findings(path, body, what)
            elif path.endswith(".tfvars"):
                yield from variables_findings(path, read_configuration(entry.content.decode()))
            elif path.endswith(TEMPLATES):
                yield from template_findings(path, read_template(entry.content.decode()), what)
        except Unreadable as error:
            reason = f"it cannot be read in one way alone: {error.why}"
            fix = "write it plainly; `terraform fmt` and `terraform validate` help"
            yield GuardFinding("syntax", path, error.line, reason, fix, path)
        except UnicodeDecodeError:
            continue  # told of as a binary
    for folder, bodies in folders.items():
        yield from FolderBlocks(folder, bodies, what).findings()
