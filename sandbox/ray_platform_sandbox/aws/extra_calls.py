"""Calls that people make and moto 5.2.5 lacks: without them some drift could not be made here.

- EC2 `DeleteLaunchTemplateVersions` (the newest first: moto counts versions by their place);
- CloudWatch Logs `AssociateKmsKey`, `DisassociateKmsKey`;
- IAM `AddClientIDToOpenIDConnectProvider`, `RemoveClientIDFromOpenIDConnectProvider`.
"""

from typing import Any


def add_missing_calls() -> None:
    """Add the calls to moto's response classes, by which it finds them."""
    from moto.core.responses import ActionResult, EmptyResult
    from moto.ec2.responses.launch_templates import LaunchTemplates
    from moto.iam.responses import IamResponse
    from moto.logs.responses import LogsResponse

    def delete_launch_template_versions(self: Any) -> ActionResult:
        template = self.ec2_backend.get_launch_template(self._get_param("LaunchTemplateId"))
        deleted = []
        for number in sorted((int(n) for n in self._get_param("Versions", [])), reverse=True):
            if number == len(template.versions) and number != template.default_version_number:
                template.versions.pop()
                deleted.append({"LaunchTemplateId": template.id, "VersionNumber": number})
        return ActionResult(
            {
                "SuccessfullyDeletedLaunchTemplateVersions": deleted,
                "UnsuccessfullyDeletedLaunchTemplateVersions": [],
            }
        )

    def associate_kms_key(self: Any) -> str:
        _log_group(self).kms_key_id = self._get_param("kmsKeyId")
        return ""

    def disassociate_kms_key(self: Any) -> str:
        _log_group(self).kms_key_id = None
        return ""

    def add_client(self: Any) -> EmptyResult:
        clients = _identity_provider(self).client_id_list
        if (client := self._get_param("ClientID")) not in clients:
            clients.append(client)
        return EmptyResult()

    def remove_client(self: Any) -> EmptyResult:
        clients = _identity_provider(self).client_id_list
        if (client := self._get_param("ClientID")) in clients:
            clients.remove(client)
        return EmptyResult()

    calls: tuple[tuple[Any, str, Any], ...] = (
        (LaunchTemplates, "delete_launch_template_versions", delete_launch_template_versions),
        (LogsResponse, "associate_kms_key", associate_kms_key),
        (LogsResponse, "disassociate_kms_key", disassociate_kms_key),
        (IamResponse, "add_client_id_to_open_id_connect_provider", add_client),
        (IamResponse, "remove_client_id_from_open_id_connect_provider", remove_client),
    )
    for responses, name, call in calls:
        setattr(responses, name, call)


def _log_group(responses: Any) -> Any:
    return responses.logs_backend.groups[responses._get_param("logGroupName")]


def _identity_provider(responses: Any) -> Any:
    arn = responses._get_param("OpenIDConnectProviderArn")
    return responses.backend.get_open_id_connect_provider(arn)
