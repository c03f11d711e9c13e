"""A pull request's Terraform folder is judged before Terraform reads it; what is not listed is refused."""

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ray_platform.cli.checks.guard import guard as guard_command
from ray_platform.policy.configuration_guard import guard, require_harmless
from ray_platform.policy.configuration_rules import MOST_FILES, GuardRules, read_rules
from ray_platform.policy.configuration_tree import TreeEntry, read_tree
from ray_platform.policy.guard_findings import GuardFinding
from ray_platform.text.errors import PolicyDenied, SettingsError

ROOT = Path(__file__).resolve().parents[3]
OURS = {
    path: entry
    for path, entry in read_tree(ROOT / "terraform").items()
    if not path.startswith(".terraform/")
}
NONE = GuardRules()


def text(content: str | bytes, *, executable: bool = False) -> TreeEntry:
    data = content.encode() if isinstance(content, str) else content
    return TreeEntry("file", executable, len(data), data)


def found_in(
    content: str | bytes, file: str = "new.tf", rules: GuardRules = NONE
) -> list[GuardFinding]:
    return list(guard({**OURS, file: text(content)}, OURS, rules))


#: What a plan or an apply would run, load or read: (configuration, rule).
ATTACKS = {
    "an external data source": ('data "external" "x" {\n  program = ["id"]\n}', "data"),
    "one inside a check": (
        'check "c" {\n  data "http" "x" {\n    url = "http://a"\n  }\n}',
        "data",
    ),
    "another state": ('data "terraform_remote_state" "x" {\n  backend = "local"\n}', "data"),
    "a secret": ('data "aws_secretsmanager_secret_version" "x" {\n  secret_id = "a"\n}', "data"),
    "a parameter": ('data "aws_ssm_parameter" "x" {\n  name = "a"\n}', "data"),
    "an object": ('data "aws_s3_object" "x" {\n  bucket = "a"\n  key = "b"\n}', "data"),
    "an invocation": ('data "aws_lambda_invocation" "x" {\n  function_name = "a"\n}', "data"),
    "a cluster's token": ('data "aws_eks_cluster_auth" "x" {\n  name = "a"\n}', "data"),
    "something ephemeral": ('ephemeral "aws_ssm_parameter" "x" {\n  arn = "a"\n}', "block"),
    "an import of a secret": (
        'import {\n  to = module.a.aws_ssm_parameter.x["a"]\n  id = "a"\n}',
        "data",
    ),
    "a provisioner": (
        'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}',
        "provisioner",
    ),
    "a provisioner at a removal": (
        "removed {\n  from = terraform_data.x\n"
        '  provisioner "local-exec" {\n    when = destroy\n    command = "id"\n  }\n}',
        "provisioner",
    ),
    "a provisioner that is dynamic": (
        'resource "terraform_data" "x" {\n  dynamic "provisioner" {\n    for_each = [1]\n'
        "    content {\n    }\n  }\n}",
        "provisioner",
    ),
    "arguments that hide": ('resource "terraform_data" "x" {\n  _ {\n    a = 1\n  }\n}', "block"),
    "a provider that is named": (
        'terraform {\n  required_providers {\n    z = { source = "evil/aws" }\n  }\n}',
        "provider",
    ),
    "a provider by an expression": (
        'terraform {\n  required_providers {\n    z = merge({ source = "evil/aws" })\n  }\n}',
        "provider",
    ),
    "a provider that a resource implies": ('resource "null_resource" "x" {\n}', "provider"),
    "a provider that a resource names": (
        'resource "aws_vpc" "x" {\n  provider = null.a\n}',
        "provider",
    ),
    "a provider of another registry": (
        'terraform {\n  required_providers {\n    aws = { source = "evil.example/hashicorp/aws" }\n  }\n}',
        "provider",
    ),
    "a provider's program": ('provider "aws" {\n  shared_config_files = ["x"]\n}', "provider"),
    "a provider's other address": (
        'provider "aws" {\n  endpoints {\n    s3 = "http://a"\n  }\n}',
        "provider",
    ),
    "provider settings that are hidden": (
        'provider "aws" {\n  dynamic "assume_role" {\n    for_each = [1]\n    content {\n    }\n  }\n}',
        "provider",
    ),
    "a module from Git": ('module "m" {\n  source = "git::https://a/b"\n}', "module"),
    "a module from the registry": ('module "m" {\n  source = "a/vpc/aws"\n}', "module"),
    "a module above the root": ('module "m" {\n  source = "../elsewhere"\n}', "module"),
    "a module by an absolute path": ('module "m" {\n  source = "/tmp/a"\n}', "module"),
    "a module by an expression": ('module "m" {\n  source = "${"./modules"}/vpc"\n}', "module"),
    "another backend": ('terraform {\n  backend "local" {\n    path = "x"\n  }\n}', "backend"),
    "a cloud in place of a backend": (
        'terraform {\n  cloud {\n    organization = "x"\n  }\n}',
        "backend",
    ),
    "encryption": ('terraform {\n  encryption {\n    method "x" "y" {\n    }\n  }\n}', "block"),
    "a kind of block that is not known": ('action "aws_lambda_invoke" "x" {\n}', "block"),
    "a file of the machine": ('output "x" {\n  value = file("/proc/self/environ")\n}', "path"),
    "one by the function's full name": (
        'output "x" {\n  value = core::file("/proc/self/environ")\n}',
        "path",
    ),
    "a file by a variable": ('output "x" {\n  value = filebase64(var.name)\n}', "path"),
    "a file above the module": (
        'output "x" {\n  value = "a ${file("${path.module}/../../x")}"\n}',
        "path",
    ),
    "a file by a list of arguments": ('output "x" {\n  value = file(["/a"]...)\n}', "path"),
    "files by a pattern": ('output "x" {\n  value = fileset(path.module, "../**")\n}', "path"),
    "a configuration as a template": (
        'output "x" {\n  value = templatefile("${path.module}/main.tf", {})\n}',
        "path",
    ),
    "a template that was put together": (
        'output "x" {\n  value = templatestring(local.t, {})\n}',
        "function",
    ),
    "a home": ('output "x" {\n  value = pathexpand("~/.aws/credentials")\n}', "function"),
    "a provider's function": ('output "x" {\n  value = provider::evil::run("id")\n}', "function"),
    "a secret made open": ('output "x" {\n  value = nonsensitive(var.secret)\n}', "secret"),
    "a file that a resource reads": (
        'resource "aws_s3_object" "x" {\n  source = "/proc/self/environ"\n}',
        "path",
    ),
    "a call in a heredoc": (
        'locals {\n  a = <<-EOT\n    %{for x in [file("/etc/passwd")]}${x}%{endfor}\n  EOT\n}',
        "path",
    ),
    "a block after a heredoc's end mark with a blank": (
        'locals {\n  a = <<EOT\nx\nEOT \n}\nprovider "aws" {\n  shared_config_files = ["x"]\n}\n'
        "locals {\n  b = <<EOT\nEOT\n}\n",
        "provider",
    ),
    "a call in a conditional between quotes": (
        'locals {\n  a = "x" == "y" ? file("/etc/passwd") : "z"\n}',
        "path",
    ),
    "a call as an object's key": ('locals {\n  a = { (file("/etc/passwd")) = 1 }\n}', "path"),
    "a call as an object's key without parentheses": (
        'locals {\n  a = { file("/etc/passwd") = 1 }\n}',
        "path",
    ),
    "a block under a label of a parser's own": (
        'data "external" "__start_line__" {\n  program = ["id"]\n}',
        "data",
    ),
    "names without quotes": ("data external x {\n}", "data"),
    "a name that hides what it is": ('data "exter\\u006eal" "x" {\n}', "data"),
    "lines as of Windows": ('data "external" "x" {\r\n}\r\n', "syntax"),
    "a lone carriage return": ('# a\rdata "external" "x" {\n}\n', "syntax"),
    "text that turns round": ("# \u202e\nlocals {\n}\n", "syntax"),
    "what is no HCL": ('data "external" {{{', "syntax"),
    "JSON in between": ('{"data": {}}', "syntax"),
    "an argument outside of blocks": ("a = 1\n", "syntax"),
    "deep nesting": ("locals {\n  a = " + "[" * 5000 + "]" * 5000 + "\n}\n", "syntax"),
    "a sequence with several readings": ('locals {\n  a = "$$${file("x")}"\n}\n', "syntax"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_found_with_its_rule_file_and_line_and_refused(attack: str) -> None:
    content, rule = ATTACKS[attack]
    found = found_in(f"\n{content}\n")
    assert rule in {item.rule for item in found}
    assert {item.file for item in found} == {"new.tf"}
    assert all(item.line >= 1 and item.what and item.fix for item in found)
    with pytest.raises(PolicyDenied) as raised:
        require_harmless({**OURS, "new.tf": text(content)}, OURS, NONE, where="a/b#1")
    assert "terraform/new.tf" in raised.value.where


#: (path, bytes, executable, rule)
FILES: dict[str, tuple[str, bytes, bool, str]] = {
    "a plugin": ("terraform.d/plugins/a/b", b"x", False, "plugin"),
    "a program of a provider": ("x/terraform-provider-aws_v9", b"x", False, "plugin"),
    "Terraform's own folder": (".terraform/modules/modules.json", b"{}", False, "plugin"),
    "a configuration of the command line": (".terraformrc", b"", False, "cli-configuration"),
    "one by its other name": ("modules/a.tfrc", b"", False, "cli-configuration"),
    "one of Windows": ("terraform.rc", b"", False, "cli-configuration"),
    "a program": ("note.md", b"#!/bin/sh\n", True, "executable"),
    "a binary": ("note.txt", b"\x7fELF\0", False, "binary"),
    "a NUL in a configuration": ("new.tf", b"locals {\n}\0\n", False, "binary"),
    "no UTF-8": ("new.tf", b"# \xff\n", False, "binary"),
    "a byte order mark": ("new.tf", b"\xef\xbb\xbflocals {\n}\n", False, "syntax"),
    "JSON": ("new.tf.json", b"{}", False, "kind"),
    "variables in JSON": ("x.auto.tfvars.json", b"{}", False, "kind"),
    "OpenTofu's": ("new.tofu", b"", False, "kind"),
    "a test": ("tests/a.tftest.hcl", b"", False, "kind"),
    "a file without an ending": ("run", b"", False, "kind"),
    "an override": ("main_override.tf", b"locals {\n}\n", False, "override"),
    "another override": ("modules/vpc/override.tf", b"locals {\n}\n", False, "override"),
    "a hidden file": (".secret.tf", b"locals {\n}\n", False, "hidden"),
    "a lock file of a module": ("modules/vpc/.terraform.lock.hcl", b"", False, "hidden"),
    "a changed lock file": (".terraform.lock.hcl", b"", False, "lock"),
    "an odd name": ("a b.tf", b"locals {\n}\n", False, "name"),
    "a large file": ("new.tf", b"# " + b"x" * 300_000, False, "size"),
    "a call in variables": ("x.tfvars", b'a = file("/etc/passwd")\n', False, "syntax"),
    "a call in a template": ("a.tftpl", b'x ${file("/proc/self/environ")}', False, "path"),
    "another in a template": ("a.tpl", b"x ${filebase64(name)}", False, "path"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_may_not_be_there_is_refused(kind: str) -> None:
    path, content, executable, rule = FILES[kind]
    found = guard({**OURS, path: text(content, executable=executable)}, OURS, NONE)
    assert (rule, path) in {(item.rule, item.file) for item in found}


@pytest.mark.parametrize("kind", ["link", "special"])
def test_links_and_special_files_are_refused(kind: str) -> None:
    found = guard({**OURS, "modules/x": TreeEntry(kind, False, 0, None)}, OURS, NONE)
    assert [(item.rule, item.file) for item in found] == [(kind, "modules/x")]


def test_too_many_and_too_large_files_are_refused_before_anything_is_read() -> None:
    many = {f"{number}.md": text("") for number in range(MOST_FILES + 1)}
    assert [item.rule for item in guard(many, OURS, NONE)] == ["size"]
    large = {f"{number}.tf": text("# " + "x" * 250_000) for number in range(5)}
    assert [item.rule for item in guard(large, OURS, NONE)] == ["size"]


def test_our_own_configuration_passes_with_and_without_a_base_and_ordinary_changes_too() -> None:
    assert guard(OURS, OURS, NONE) == ()
    assert guard(OURS, None, NONE) == ()
    more = """
resource "aws_s3_bucket" "more" {
  bucket = "a-profile-of-the-file (x)"
  tags   = { Name = "costs 100%", price = "5$", shell = "$${HOME}" }
}
resource "terraform_data" "note" {
  input = templatefile("${path.module}/note.tftpl", { a = 1 })
}
resource "aws_s3_object" "x" {
  bucket = aws_s3_bucket.more.id
  source = "${path.module}/README.md"
}
data "aws_iam_policy_document" "x" {
  statement {
    actions = ["s3:GetObject"]
  }
}
moved {
  from = aws_vpc.a
  to   = aws_vpc.b
}
"""
    note = "%{ for x in [a] ~}\n${upper(x)}\n%{ endfor ~}\n"
    files = {**OURS, "more.tf": text(more), "note.tftpl": text(note), "data.json": text("{}")}
    assert guard(files, OURS, NONE) == ()


def test_the_base_widens_by_names_and_lists() -> None:
    content = (
        'data "external" "x" {\n  program = ["id"]\n}\n'
        'data "aws_ssm_parameter" "y" {\n  name = nonsensitive("a")\n}\n'
    )
    assert {item.rule for item in found_in(content)} == {"data", "provider", "secret"}
    rules = read_rules(
        'allow = ["data.external.x"]\ndata_sources = ["aws_ssm_parameter"]\n'
        'functions = ["nonsensitive"]\nproviders = ["registry.terraform.io/hashicorp/external"]\n',
        where="rules",
    )
    assert found_in(content, rules=rules) == []
    assert found_in("x", "run", GuardRules(files=frozenset({"run"}))) == []
    lock = b'provider "registry.terraform.io/hashicorp/aws" {\n  version = "6.0.0"\n}\n'
    assert found_in(lock, ".terraform.lock.hcl", GuardRules(lock_may_change=True)) == []
    evil = b'provider "registry.terraform.io/evil/aws" {\n  version = "6.0.0"\n}\n'
    changed = found_in(evil, ".terraform.lock.hcl", GuardRules(lock_may_change=True))
    assert [item.rule for item in changed] == ["lock"]


def test_what_the_base_says_may_be_repeated_and_not_added_to() -> None:
    used = 'output "a" {\n  value = nonsensitive(var.a)\n}\n'
    provider = 'provider "aws" {\n  alias = "b"\n  profile = "ops"\n}\n'
    base = {**OURS, "old.tf": text(used + provider)}
    assert guard({**base, "x.md": text("")}, base, NONE) == ()
    more = used + provider + 'output "b" {\n  value = nonsensitive(var.b)\n}\n'
    found = guard({**base, "old.tf": text(more)}, base, NONE)
    assert [(item.rule, item.line) for item in found] == [("secret", 9)]
    other = used + provider.replace("ops", "root")
    assert [item.rule for item in guard({**base, "old.tf": text(other)}, base, NONE)] == [
        "provider"
    ]


def test_a_variable_does_not_lose_that_it_is_sensitive() -> None:
    secret = 'variable "note" {\n  sensitive = true\n}\n'
    base = {**OURS, "secret.tf": text(secret)}
    assert guard(base, base, NONE) == ()
    for content in (secret.replace("true", "false"), secret.replace("  sensitive = true\n", "")):
        found = guard({**OURS, "moved.tf": text(content)}, base, NONE)
        assert [(item.rule, item.file) for item in found] == [("secret", "moved.tf")]


@pytest.mark.parametrize(
    "content", ["allow = 1", "allow = [1]", "alow = []", "lock_may_change = 1", "["]
)
def test_malformed_rules_are_refused_by_name(content: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_rules(content, where="policies/pull_requests.toml")
    assert raised.value.fix


def test_a_module_is_looked_through_and_named_with_its_folder() -> None:
    found = found_in('data "external" "x" {\n  program = ["id"]\n}\n', "modules/vpc/new.tf")
    assert {item.name for item in found} == {
        "modules/vpc:data.external.x",
        "modules/vpc:external.x",
    }


BLOCK = 'resource "aws_vpc" "a%d" {\n  a = upper("b ${var.x}")\n}\n'
#: Texts of a growing length, by the number of their parts.
GROWING: tuple[Callable[[int], str], ...] = (
    lambda parts: 'a = "${' * parts,
    lambda parts: "a = [" * parts,
    lambda parts: "a {\n" * parts,
    lambda parts: "<<A\n" * parts,
    lambda parts: "/*" * parts,
    lambda parts: "".join(BLOCK % number for number in range(parts)),
)


@pytest.mark.parametrize("make", GROWING)
def test_the_time_grows_with_the_length_alone(make: Callable[[int], str]) -> None:
    """Eight times the text: eight times as long where it is linear, 64 times where it is quadratic."""
    texts = [{"a.tf": text(make(parts))} for parts in (1_000, 8_000)]
    spent = [math.inf, math.inf]
    for turn in range(6):  # in turns, and the best of three: another process may have had the core
        started = time.process_time()
        guard(texts[turn % 2], None, NONE)
        spent[turn % 2] = min(spent[turn % 2], time.process_time() - started)
    assert spent[1] < 32 * max(spent[0], 0.002), spent


def test_the_command_prints_findings_and_answers_by_its_exit_code(tmp_path: Path) -> None:
    folder, base = tmp_path / "change" / "terraform", tmp_path / "base"
    shutil.copytree(ROOT / "terraform", folder, ignore=shutil.ignore_patterns(".terraform"))
    shutil.copytree(folder, base / "terraform")
    run = CliRunner().invoke
    assert run(guard_command, [str(folder), "--base", str(base)]).exit_code == 0
    (folder / "new.tf").write_text('data "aws_ssm_parameter" "x" {\n  name = "a"\n}\n')
    answer = run(guard_command, [str(folder), "--base", str(base / "terraform"), "--json"])
    assert answer.exit_code == 2
    [finding] = json.loads(answer.stdout)["findings"]
    assert set(finding) == {"rule", "file", "line", "what", "fix"}
    assert (finding["rule"], finding["file"], finding["line"]) == ("data", "new.tf", 1)
    (base / "policies").mkdir()
    rules = base / "policies" / "pull_requests.toml"
    rules.write_text('data_sources = ["aws_ssm_parameter"]\n')
    for named in (base, base / "terraform"):
        assert run(guard_command, [str(folder), "--base", str(named)]).exit_code == 0
    missing = run(guard_command, [str(tmp_path / "none")])
    assert isinstance(missing.exception, SettingsError)
