"""The S3 bucket of the Terraform state: versioned, encrypted, closed to the public; and reading from it."""

from typing import Any

from ray_platform.text.errors import StateError


def ensure_state_bucket(s3: Any, bucket: str, region: str) -> bool:
    """Create the bucket if it is absent and set what it must have; whether it was created.

    Every step may be repeated, so that a call cut short is mended by the next.

    Args:
        s3: A boto3 S3 client.
        bucket: Its name.
        region: Its AWS region.

    Raises:
        StateError: S3 refuses, or cannot be reached.
    """
    try:
        created = not has_bucket(s3, bucket)
        if created:
            # us-east-1 is the one region that must not be named.
            place = {} if region == "us-east-1" else {"LocationConstraint": region}
            s3.create_bucket(
                Bucket=bucket, **({"CreateBucketConfiguration": place} if place else {})
            )
        _protect(s3, bucket)
    except StateError:
        raise
    except Exception as error:
        raise _told(error, bucket, "") from error
    return created


def read_state(s3: Any, bucket: str, key: str) -> bytes | None:
    """The state file as it lies in the bucket, or None when there is none yet.

    Raises:
        StateError: S3 refuses, or cannot be reached.
    """
    try:
        content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except Exception as error:
        if _code(error) in ("NoSuchKey", "NoSuchBucket", "404"):
            return None
        raise _told(error, bucket, key) from error
    return content


def has_bucket(s3: Any, bucket: str) -> bool:
    """Whether the bucket exists.

    Raises:
        StateError: S3 refuses, or cannot be reached.
    """
    try:
        s3.head_bucket(Bucket=bucket)
    except Exception as error:
        if _code(error) in ("404", "NoSuchBucket"):
            return False
        raise _told(error, bucket, "") from error
    return True


def _protect(s3: Any, bucket: str) -> None:
    # Asked first: a role that may use the bucket but not administer it finds nothing to do.
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    if not _has(s3.get_bucket_encryption, bucket, "ServerSideEncryptionConfigurationNotFoundError"):
        rule = {
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"},
            "BucketKeyEnabled": True,
        }
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    if not _has(s3.get_public_access_block, bucket, "NoSuchPublicAccessBlockConfiguration"):
        closed = (
            "BlockPublicAcls",
            "IgnorePublicAcls",
            "BlockPublicPolicy",
            "RestrictPublicBuckets",
        )
        s3.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(closed, True)
        )


def _has(ask: Any, bucket: str, absent_code: str) -> bool:
    try:
        ask(Bucket=bucket)
    except Exception as error:
        if _code(error) == absent_code:
            return False
        raise
    return True


def _code(error: Exception) -> str:
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def _told(error: Exception, bucket: str, key: str) -> StateError:
    fixes = {
        "403": "check that the credentials may use the bucket, and that its name is yours",
        "AccessDenied": "check that the credentials may use the bucket",
        "BucketAlreadyExists": "the name is taken by another account: choose one in environments/",
    }
    return StateError(
        f"the Terraform state cannot be reached: {error}",
        where=f"s3://{bucket}/{key}",
        fix=fixes.get(
            _code(error), "check the network, the credentials and [state] in environments/*.toml"
        ),
    )
