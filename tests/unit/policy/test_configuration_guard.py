"""What a pull request's configuration would run or read is found before Terraform runs it."""

import time
from pathlib import Path

import pytest

from ray_platform.policy.configuration_guard import foreign_code, require_harmless
from ray_platform.text.errors import PolicyDenied

ROOT = Path(__file__).resolve().parents[3] / "terraform"
LOCK = (ROOT / ".terraform.lock.hcl").read_text()
OURS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in ROOT.rglob("*")
    if path.is_file() and ".terraform" not in path.relative_to(ROOT).parts
}

FOREIGN = {
    "an external data source": ('data "external" "x" {\n  program = ["id"]\n}', "data.external.x"),
    "one inside a check": (
        'check "c" {\n  data "external" "x" {\n    program = ["id"]\n  }\n}',
        "data.external.x",
    ),
    "an http data source": ('data "http" "x" {\n  url = "http://a"\n}', "data.http.x"),
    "another state": (
        'data "terraform_remote_state" "x" {\n  backend = "local"\n}',
        "data.terraform_remote_state.x",
    ),
    "a provisioner": (
        'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n    command = "id"\n  }\n}',
        "terraform_data.x",
    ),
    "a provider that is named": (
        'terraform {\n  required_providers {\n    aws = { source = "evil/aws" }\n  }\n}',
        "provider.aws",
    ),
    "a provider that a resource implies": (
        'resource "null_resource" "x" {\n}',
        "null_resource.x",
    ),
    "a provider of another registry": (
        'terraform {\n  required_providers {\n    z = { source = "evil.example/hashicorp/aws" }\n  }\n}',
        "provider.z",
    ),
    "a provider's program": (
        'provider "aws" {\n  shared_config_files = ["x"]\n}',
        "provider.aws",
    ),
    "a module from Git": ('module "m" {\n  source = "git::https://a/b"\n}', "module.m"),
    "a module from the registry": (
        'module "m" {\n  source = "terraform-aws-modules/vpc/aws"\n}',
        "module.m",
    ),
    "a module above the root": ('module "m" {\n  source = "../elsewhere"\n}', "module.m"),
    "another backend": ('terraform {\n  backend "local" {\n    path = "x"\n  }\n}', "backend"),
    "a cloud in place of a backend": (
        'terraform {\n  cloud {\n    organization = "x"\n  }\n}',
        "backend",
    ),
    "a file of the machine": ('output "x" {\n  value = file("/proc/self/environ")\n}', "output.x"),
    "a file by a variable": ('output "x" {\n  value = filebase64(var.name)\n}', "output.x"),
    "a file above the module": (
        'output "x" {\n  value = "a ${file("${path.module}/../../x")}"\n}',
        "output.x",
    ),
    "a template that was put together": (
        'output "x" {\n  value = templatestring(local.t, {})\n}',
        "output.x",
    ),
    "a file in a heredoc": (
        'locals {\n  a = <<-EOT\n    %{for x in [file("/etc/passwd")]}${x}%{endfor}\n  EOT\n}',
        "locals",
    ),
    "provider settings that are hidden": (
        'provider "aws" {\n  dynamic "assume_role" {\n    for_each = [1]\n    content {\n    }\n  }\n}',
        "provider.aws",
    ),
    "OpenTofu's encryption": (
        'terraform {\n  encryption {\n    method "x" "y" {\n    }\n  }\n}',
        "encryption",
    ),
    "a name without quotes": ("data external x {\n}", "data.external.x"),
    "lines as of Windows": ('data "external" "x" {\r\n}\r', "data.external.x"),
    "a name that hides what it is": ('data "exter\\u006eal" "x" {\n}', "exter\\u006eal.x"),
    "what is no HCL": ('data "external" {{{', "new.tf"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_code_is_found_with_its_place_and_refused(kind: str) -> None:
    text, name = FOREIGN[kind]
    files = {**OURS, "new.tf": f"\n{text}\n"}
    found = foreign_code(files, OURS, lock=LOCK)
    assert name in {item.name for item in found}
    assert {item.file for item in found} == {"new.tf"}
    assert all(item.line >= 2 for item in found)
    with pytest.raises(PolicyDenied) as raised:
        require_harmless(files, OURS, lock=LOCK, allowed=[], where="a/b#1")
    assert f"terraform/{found[0].place}" in raised.value.where
    assert name in raised.value.fix


def test_a_module_is_looked_through_too_and_named_with_its_folder() -> None:
    files = {**OURS, "modules/vpc/new.tf": 'data "external" "x" {\n  program = ["id"]\n}\n'}
    assert [item.name for item in foreign_code(files, OURS, lock=LOCK)] == [
        "modules/vpc:data.external.x"
    ]


@pytest.mark.parametrize("file", ["new.tf.json", "new.tofu"])
def test_what_cannot_be_looked_through_is_refused(file: str) -> None:
    found = foreign_code({**OURS, file: "{}"}, OURS, lock=LOCK)
    assert [item.name for item in found] == [file]


def test_a_template_that_reads_other_files_is_refused_and_an_ordinary_one_is_not() -> None:
    files = {
        **OURS,
        "a.tftpl": 'x ${file("/proc/self/environ")}',
        "b.tftpl": "x ${filebase64(name)}",
    }
    assert [item.name for item in foreign_code(files, OURS, lock=LOCK)] == ["a.tftpl", "b.tftpl"]
    files = {**OURS, "b.tftpl": "the files of ${name}", "c.md": 'file("/etc/passwd")'}
    assert foreign_code(files, OURS, lock=LOCK) == ()


def test_a_link_is_refused() -> None:
    found = foreign_code({**OURS, "modules/x": "-> /somewhere"}, OURS, lock=LOCK)
    assert [item.name for item in found] == ["modules/x"]


def test_what_the_base_branch_allows_by_name_passes() -> None:
    files = {**OURS, "new.tf": FOREIGN["an external data source"][0]}
    require_harmless(files, OURS, lock=LOCK, allowed=["data.external.x"], where="a/b#1")


def test_our_own_configuration_passes_and_ordinary_changes_of_it_too() -> None:
    started = time.process_time()
    assert foreign_code(OURS, OURS, lock=LOCK) == ()
    print(
        f"\n{len(OURS)} files looked through twice in {time.process_time() - started:.2f} CPU seconds"
    )
    more = """
resource "aws_s3_bucket" "more" {
  bucket = "a-profile-of-the-file (x)"
}
resource "terraform_data" "note" {
  input = templatefile("${path.module}/note.tftpl", { a = 1 })
}
data "aws_iam_policy_document" "x" {
  statement {
    actions = ["s3:GetObject"]
  }
}
"""
    files = {**OURS, "main.tf": OURS["main.tf"] + more}
    assert foreign_code(files, OURS, lock=LOCK) == ()
