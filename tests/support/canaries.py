"""Secrets that are none, one of each kind, and a Terraform root that holds them all.

Each is put together from parts, so that no scanner takes this file for a leak. Those "by mark" and "by key"
look like nothing: only Terraform's mark, or the key that they stand under, tells that they are secret.
"""

import base64

#: Plain words: nothing in their look tells what they are.
BY_MARK = {
    "a variable that is sensitive": "walnut-harbour-violet-marked",
    "an output that is sensitive": "copper-lantern-meadow-marked",
}
BY_KEY = {
    "password": "grapes-in-autumn",
    "api_key": "river-under-bridge",
    "clientSecret in a nested list": "chalk-on-the-board",
    "in a list of passwords": "third-stair-creaks",
    "in user_data": "kettle-sings-early",
    "in an environment list": "paper-boats-sail",
}
BY_LOOK = {
    "a long random word": "Zq8Kx2Lw9Vb4Nt7Rp3Ys6Md1" + "Hf5Jc0Gk",
    "AWS access key": "AKIA" + "Q3EGR7ZDN2VHTXMP",
    "AWS secret key": "pT9vX2mK7sLq4RzB8nYc" + "5WdF1gHj6UaE3oQi+t0/",
    "GitHub ghp_": "ghp_" + "8fKq2ZsW4nXv7TbL1mRy9PcD3hJg6VaE0uQi",
    "GitHub ghs_": "ghs_" + "1aBq7ZtW4nYv8TcL2mSy9QdD3iJh6WbE0vRj",
    "GitHub github_pat_": "github_pat_" + "11BCDEFGA0qwertyuiop_ZXCVBNMasdfghjkl0123456789",
    "a JWT": "eyJhbGciOiJSUzI1NiJ9." + "eyJzdWIiOiJjYW5hcnkifQ." + "c2lnbmF0dXJlLW9mLWEtY2FuYXJ5",
    "Slack": "xoxb-" + "982734650112-QwErTyUiOpAsDfGh",
}
#: The body of a private key, without its frame.
PEM_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" + "canarybodyofakey"
PEM = f"-----BEGIN PRIVATE KEY-----\\n{PEM_BODY}\\n-----END PRIVATE KEY-----"
IN_CONTEXT = {
    "a password in a URL": "fox-behind-barn",
    "a bearer token in an error": "lowercasebearer0987654321",
    "what a program printed": "cellar-door-unlocked",
    "a key of for_each": "hf_" + "QwErTyUiOpAsDfGhJkLzXcVbNm12345678",
    "a tag": "npm_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "an open output": "glpat-" + "Xy7Zq2Wv9Ut4Rs1Po6Nm",
    "a branch's name": "ghp_" + "7branchQ2ZsW4nXv7TbL1mRy9PcD3hJg6VaE",
    "a pull request's title": "ghp_" + "6titleQ2ZsW4nXv7TbL1mRy9PcD3hJg6VaE0",
    "a private key": PEM_BODY,
}
#: In our own environment, where no child may see them.
IN_ENVIRONMENT = {
    "RAY_PLATFORM_LINEAGE_TOKEN": "lineage-canary-of-the-environment",
    "MLFLOW_TRACKING_PASSWORD": "mlflow-canary-of-the-environment",
    "DAGSTER_PG_PASSWORD": "dagster-canary-of-the-environment",
    "AWS_SECRET_ACCESS_KEY": "aws-canary-of-the-environment",
    "GITHUB_TOKEN": "github-canary-of-the-environment",
    "CLOUD_PASSWORD": "another-canary-of-the-environment",
}
USER_DATA = base64.b64encode(
    f"#!/bin/sh\nexport DB_PASSWORD={BY_KEY['in user_data']}\nexec app\n".encode()
).decode()

CANARIES = {**BY_MARK, **BY_KEY, **BY_LOOK, **IN_CONTEXT, "user_data as a whole": USER_DATA}
#: What a report without would say nothing.
ORDINARY = {
    "an ARN": "arn:aws:iam::123456789012:role/ray-platform-local-Ray-7Fq2Lx9Pz4WvTn8Ks3Bd6Hj1",
    "a digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "a commit": "a70f8ad3c1f0e2b4d5968778695a4b3c2d1e0f9a",
    "an id": "vpc-0a1b2c3d4e5f60718",
    "a UUID": "9a1b2c3d-4e5f-6789-abcd-ef0123456789",
    "a certificate": base64.b64encode(
        b"-----BEGIN CERTIFICATE-----\nMIIC5zCCAc+gAwIBAgIBADANBgkqhkiG9w0BAQsFADAVMRMw\n-----END"
    ).decode(),
    "an image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/ray-platform-local:2.60.0-py311",
    "a name": "AmazonEKSWorkerNodePolicyAndAnotherVeryLongName2",
}

MAIN = """
terraform {
  backend "s3" {
    use_lockfile = true
  }
}

variable "environment" { type = string }
variable "region" { type = string }
variable "node_pools" { type = any }
variable "emulator" { type = bool }
variable "repository" { type = string }
variable "commit" { type = string }

variable "note" {
  type      = string
  sensitive = true
}

module "storage" {
  source = "./modules/storage"
  note   = var.note
}

output "cluster_name" {
  value = "canary"
}
"""
MODULE = """
variable "note" {
  type      = string
  sensitive = true
}

resource "terraform_data" "first" {
  input = "nothing yet"
}
"""
VARIABLES = f"""
environment = "local"
region      = "us-east-1"
note        = "{BY_MARK["a variable that is sensitive"]}"
node_pools = {{
  cpu = {{
    instance_types = ["m5.xlarge"]
    min_size       = 0
    max_size       = 2
  }}
}}
"""


def planted(out: str) -> str:
    """The module with every canary in it; ``out`` is the file that its program writes its environment to."""
    looks = "\n".join(f'    "{name}" = "see {value} there"' for name, value in BY_LOOK.items())
    plain = "\n".join(f'    "{name}" = "{value}"' for name, value in ORDINARY.items())
    return f"""{MODULE}
resource "terraform_data" "marked" {{
  input = var.note
}}

resource "terraform_data" "unmarked" {{
  input = {{ tags = {{ owner = nonsensitive(var.note), of = "{IN_CONTEXT["a tag"]}" }} }}
}}

resource "terraform_data" "keys" {{
  input = {{
    password = "{BY_KEY["password"]}"
    api_key  = "{BY_KEY["api_key"]}"
    deep     = [{{ inner = {{ clientSecret = "{BY_KEY["clientSecret in a nested list"]}" }} }}]
    passwords = ["{BY_KEY["in a list of passwords"]}"]
    user_data = "{USER_DATA}"
    blob      = "{USER_DATA}"
    env       = [{{ name = "DB_PASSWORD", value = "{BY_KEY["in an environment list"]}" }}]
  }}
}}

resource "terraform_data" "looks" {{
  input = {{
{looks}
    url = "https://bot:{IN_CONTEXT["a password in a URL"]}@example.org/x.git"
    pem = "{PEM}"
    said = "Authorization: Bearer {IN_CONTEXT["a bearer token in an error"]}"
  }}
}}

resource "terraform_data" "plain" {{
  input = {{
{plain}
  }}
}}

resource "terraform_data" "each" {{
  for_each = toset(["{IN_CONTEXT["a key of for_each"]}"])
  input    = 1
}}

resource "terraform_data" "program" {{
  provisioner "local-exec" {{
    command = "env > {out}; echo password={IN_CONTEXT["what a program printed"]}"
  }}
}}

output "connection" {{
  value     = "{BY_MARK["an output that is sensitive"]}"
  sensitive = true
}}
"""


#: At the root, where outputs are stored.
OUTPUTS = f"""
output "connection" {{
  value     = module.storage.connection
  sensitive = true
}}

output "note" {{
  value = "pushed with {IN_CONTEXT["an open output"]}"
}}
"""
_QUOTED = (
    f"Bearer {IN_CONTEXT['a bearer token in an error']}, {BY_LOOK['a JWT']}, {BY_LOOK['GitHub ghs_']}, "
    f"password={IN_CONTEXT['what a program printed']}"
)
#: Asks an address at plan time: never planned.
FOREIGN = """
data "http" "x" {
  url = "http://127.0.0.1:9/"
}
"""
#: Refused when it is planned, with a message that quotes secrets.
REFUSED = f"""{MODULE}
resource "terraform_data" "refused" {{
  input = "x"
  lifecycle {{
    precondition {{
      condition     = length(nonsensitive(var.note)) < 3
      error_message = "no: ${{nonsensitive(var.note)}}, {_QUOTED}"
    }}
  }}
}}
"""
#: Fails when it is applied, and prints secrets.
FAILS = f"""{MODULE}
resource "terraform_data" "fails" {{
  input = var.note
  provisioner "local-exec" {{
    command = "echo '${{nonsensitive(var.note)}} {_QUOTED}' >&2; exit 3"
  }}
}}
"""
