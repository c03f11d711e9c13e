"""How to reach an EKS cluster: its address by `DescribeCluster`, its token as `aws eks get-token` makes it.

A token is a presigned request to STS that names the cluster in a signed header. EKS takes it for 15
minutes; it is made here without asking anybody, and made anew a minute before it ends.
"""

import base64
import threading
import time
from collections.abc import Callable
from typing import Any

from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.text.errors import KubernetesError

PREFIX = "k8s-aws-v1."
CLUSTER_HEADER = "x-k8s-aws-id"
#: EKS takes a token for 15 minutes from when it was made; a minute is left for what is under way.
RENEW_SECONDS = 14 * 60
#: What the request in a token says of itself; EKS goes by its own 15 minutes.
_EXPIRES_SECONDS = 60


class EksToken:
    """The bearer token of an EKS cluster, renewed before it ends and when it was refused.

    Args:
        cluster: The cluster's name.
        region: Its region.
        credentials: Give botocore's credentials, asked at each renewal: they end too.
        clock: Seconds that only go up.
    """

    def __init__(
        self,
        cluster: str,
        region: str,
        credentials: Callable[[], Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._region = region
        self._credentials = credentials
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._made = 0.0

    def __call__(self, was_refused: bool) -> str:
        """A token that holds for a minute at least.

        Raises:
            KubernetesError: there are no AWS credentials to sign it with.
        """
        with self._lock:
            if was_refused or not self._token or self._clock() - self._made > RENEW_SECONDS:
                self._token, self._made = self._make(), self._clock()
            return self._token

    def _make(self) -> str:
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        credentials = self._credentials()
        if credentials is None:
            raise KubernetesError(
                "there are no AWS credentials to sign in to the cluster with",
                where=f"EKS cluster {self._cluster}",
                fix="sign in by OIDC or SSO: docs/how-to/set-up-aws.md",
                code=401,
            )
        request = AWSRequest(
            "GET",
            f"https://sts.{self._region}.amazonaws.com/",
            headers={CLUSTER_HEADER: self._cluster},
            params={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        )
        SigV4QueryAuth(credentials, "sts", self._region, expires=_EXPIRES_SECONDS).add_auth(request)
        encoded = base64.urlsafe_b64encode(str(request.url).encode()).decode()
        return PREFIX + encoded.rstrip("=")


def eks_access(
    eks: Any, cluster: str, region: str, credentials: Callable[[], Any]
) -> ClusterAccess:
    """How to reach the Kubernetes API of an EKS cluster.

    Args:
        eks: A boto3 client of EKS.
        cluster: The cluster's name.
        region: Its region.
        credentials: As `EksToken`.

    Raises:
        KubernetesError: there is no such cluster, or it has no address yet.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        described = eks.describe_cluster(name=cluster)["cluster"]
        endpoint = str(described["endpoint"])
        authority = base64.b64decode(described["certificateAuthority"]["data"]).decode("ascii")
    except (BotoCoreError, ClientError) as error:
        raise KubernetesError(
            f"EKS does not tell where the cluster is: {error}",
            where=f"EKS cluster {cluster}",
            fix="apply the infrastructure first (`ray-platform up`), or sign in: docs/how-to/set-up-aws.md",
        ) from error
    except (KeyError, ValueError) as error:
        raise KubernetesError(
            f"EKS tells no address or certificate of the cluster yet: {error!r}",
            where=f"EKS cluster {cluster}",
            fix="wait until the cluster is ACTIVE and try again",
        ) from error
    return ClusterAccess(endpoint, authority, EksToken(cluster, region, credentials), "", "")
