"""What a pull request's Terraform configuration may hold, and how the base branch widens it.

Each list says what is allowed; all else is refused. They hold what a plan neither runs, nor loads from
elsewhere, nor reads secrets by.
"""

import tomllib
from dataclasses import dataclass, fields

from ray_platform.text.errors import SettingsError

#: Bytes and counts beyond which nothing is read at all.
MOST_FILES = 2_000
MOST_BYTES_OF_HCL = 256 * 1024
MOST_BYTES_OF_FILE = 1024 * 1024
MOST_BYTES = 8 * 1024 * 1024

BLOCK_TYPES = frozenset(
    {"terraform", "provider", "variable", "locals", "output", "module", "resource", "data"}
    | {"moved", "removed", "import", "check"}
)
#: Arguments and blocks of ``terraform``; a backend and a cloud have rules of their own.
TERRAFORM_PARTS = frozenset({"required_version", "required_providers", "backend", "cloud"})
#: Of a provider's settings those that lead requests nowhere else and read no credentials.
PROVIDER_SETTINGS = frozenset(
    {"alias", "region", "default_tags", "ignore_tags", "max_retries", "retry_mode"}
    | {"allowed_account_ids", "forbidden_account_ids", "use_fips_endpoint"}
    | {"use_dualstack_endpoint", "skip_credentials_validation", "skip_metadata_api_check"}
    | {"skip_region_validation", "skip_requesting_account_id", "s3_use_path_style"}
)
#: What a backend may say without a base branch that says the same: nothing of where the state is.
BACKEND_SETTINGS = frozenset({"use_lockfile", "encrypt"})

AWS = "registry.terraform.io/hashicorp/aws"
BUILTIN = "terraform.io/builtin/terraform"

#: They look up what is there or put documents together, and give no content of anybody's.
DATA_SOURCES = frozenset(
    {"aws_arn", "aws_caller_identity", "aws_canonical_user_id", "aws_partition", "aws_region"}
    | {"aws_regions", "aws_service", "aws_service_principal", "aws_default_tags"}
    | {"aws_availability_zone", "aws_availability_zones", "aws_billing_service_account"}
    | {"aws_iam_policy_document", "aws_iam_policy", "aws_iam_role", "aws_iam_roles"}
    | {"aws_iam_openid_connect_provider", "aws_iam_session_context", "aws_iam_instance_profile"}
    | {"aws_vpc", "aws_vpcs", "aws_subnet", "aws_subnets", "aws_route_table", "aws_route_tables"}
    | {"aws_security_group", "aws_security_groups", "aws_nat_gateway", "aws_nat_gateways"}
    | {"aws_internet_gateway", "aws_prefix_list", "aws_ec2_managed_prefix_list"}
    | {"aws_vpc_endpoint", "aws_vpc_endpoint_service", "aws_vpc_peering_connection"}
    | {"aws_ec2_transit_gateway", "aws_eip", "aws_eips", "aws_route53_zone", "aws_acm_certificate"}
    | {"aws_ami", "aws_ami_ids", "aws_ec2_instance_type", "aws_ec2_instance_types"}
    | {"aws_ec2_instance_type_offering", "aws_ec2_instance_type_offerings", "aws_ec2_spot_price"}
    | {"aws_eks_cluster", "aws_eks_clusters", "aws_eks_node_group", "aws_eks_node_groups"}
    | {"aws_eks_addon_version", "aws_eks_cluster_versions", "aws_eks_access_entry"}
    | {"aws_kms_alias", "aws_kms_key", "aws_ecr_repository", "aws_ecr_image", "aws_s3_bucket"}
    | {"aws_elb_service_account", "aws_lb", "aws_lbs", "aws_lb_target_group"}
    | {"aws_rds_engine_version", "aws_rds_orderable_db_instance", "aws_db_subnet_group"}
    | {"aws_cloudwatch_log_group", "aws_cloudwatch_log_groups", "aws_autoscaling_groups"}
)
#: An import reads what is there into the plan; of these that is a secret, or somebody's content.
SECRET_RESOURCES = (
    *("aws_secretsmanager_secret_version", "aws_ssm_parameter", "aws_s3_object"),
    *("aws_s3_bucket_object", "aws_lambda_invocation", "aws_iam_access_key", "aws_key_pair"),
    *("aws_db_instance", "aws_rds_cluster", "aws_instance", "aws_launch_template"),
    *("aws_launch_configuration", "aws_dynamodb_table_item", "aws_lambda_function"),
    *("aws_codebuild_project", "aws_ecs_task_definition", "aws_mq_broker", "aws_kms_ciphertext"),
    *("aws_elasticache_user", "aws_iam_user_login_profile", "aws_transfer_ssh_key"),
)
#: (resource type, argument): the provider reads a file of the machine by it.
PATH_ARGUMENTS = frozenset(
    {("aws_s3_object", "source"), ("aws_s3_bucket_object", "source")}
    | {("aws_s3_object_copy", "source"), ("aws_lambda_function", "filename")}
    | {("aws_lambda_layer_version", "filename"), ("aws_synthetics_canary", "zip_file")}
    | {
        ("aws_glacier_vault_lock", "policy"),
        ("aws_elastic_beanstalk_application_version", "source"),
    }
)

#: Functions that compute from their arguments alone.
FUNCTIONS = frozenset(
    """
    abs alltrue anytrue base64decode base64encode base64gzip base64sha256 base64sha512 basename
    bcrypt can ceil chomp chunklist cidrhost cidrnetmask cidrsubnet cidrsubnets coalesce
    coalescelist compact concat contains csvdecode dirname distinct element endswith
    ephemeralasnull flatten floor format formatdate formatlist indent index issensitive join
    jsondecode jsonencode keys length log lookup lower matchkeys max md5 merge min one parseint
    plantimestamp pow range regex regexall replace reverse rsadecrypt sensitive setintersection
    setproduct setsubtract setunion sha1 sha256 sha512 signum slice sort split startswith
    strcontains strrev substr sum textdecodebase64 textencodebase64 timeadd timecmp timestamp
    title tobool tolist tomap tonumber toset tostring transpose trim trimprefix trimspace
    trimsuffix try upper urlencode uuid uuidv5 values yamldecode yamlencode zipmap
    provider::aws::arn_build provider::aws::arn_parse provider::aws::trim_iam_role_path
    provider::terraform::decode_tfvars provider::terraform::encode_expr
    provider::terraform::encode_tfvars
    """.split()  # noqa: SIM905 - the list in one piece is easier to compare
)
#: Functions that read a file: allowed for one of the configuration's own, named by a literal.
FILE_FUNCTIONS = frozenset(
    {"file", "filebase64", "filebase64sha256", "filebase64sha512", "fileexists", "filemd5"}
    | {"filesha1", "filesha256", "filesha512", "templatefile", "fileset"}
)
#: What looks like functions in the ``type`` of a variable.
TYPES = frozenset({"list", "set", "map", "object", "tuple", "optional"})

#: Names of files by their endings. Those of `TEMPLATES` are the ones that ``templatefile`` may read.
TEMPLATES = (".tftpl", ".tmpl", ".tpl")
TEXTS = (".md", ".json", ".yaml", ".yml", ".txt", ".csv", ".toml")


@dataclass(frozen=True)
class GuardRules:
    """What the base branch's ``policies/pull_requests.toml`` adds to the lists above.

    Args:
        allow: Names of single findings, as a refusal gives them.
        block_types, data_sources, functions, providers: Added to the lists; providers by their full address.
        files: Paths of files below the Terraform folder that are allowed whatever their kind.
        lock_may_change: A pull request may change ``.terraform.lock.hcl``, within the allowed providers.
    """

    allow: frozenset[str] = frozenset()
    block_types: frozenset[str] = frozenset()
    data_sources: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    lock_may_change: bool = False


def read_rules(text: str, *, where: str) -> GuardRules:
    """The rules that a base branch's file adds.

    Raises:
        SettingsError: it is malformed, or has a key that means nothing here.
    """
    example = 'write for example: allow = ["data.external.release"]'
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"the list of what pull requests may run is malformed: {error}",
            where=where,
            fix=f"correct the line; {example}",
        ) from error
    known = {field.name: field.type for field in fields(GuardRules)}
    for key, value in content.items():
        if key not in known:
            raise SettingsError(
                f"{key!r} is no setting of what pull requests may run",
                where=where,
                fix=f"use one of: {', '.join(known)}",
            )
        if key == "lock_may_change":
            if not isinstance(value, bool):
                raise SettingsError(
                    f"{key} is {value!r}", where=where, fix=f"write {key} = true, or leave it out"
                )
        elif not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise SettingsError(f"{key} is no list of names", where=where, fix=example)
    lock_may_change = content.pop("lock_may_change", False)
    lists = {key: frozenset(value) for key, value in content.items()}
    return GuardRules(**lists, lock_may_change=lock_may_change)
