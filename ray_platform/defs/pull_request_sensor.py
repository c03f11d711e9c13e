"""Stage `pull requests`: the sensor that finds them, plans them, tells them and starts what was approved."""

import dagster as dg

from ray_platform.config.settings import load_settings
from ray_platform.defs import destroy_job as removal
from ray_platform.defs import terraform_plan as plan_stage
from ray_platform.defs import walk_jobs
from ray_platform.pull_requests.polling.watched import look_at_all
from ray_platform.pull_requests.run_request import Request
from ray_platform.text.errors import PlatformError, RateLimited


@dg.sensor(
    jobs=[plan_stage.plan, walk_jobs.apply, removal.plan_removal, removal.destroy],
    minimum_interval_seconds=5,
    description="Watches pull requests on GitHub: plans them, tells them, applies what was approved.",
)
def pull_requests(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    settings = load_settings()
    if settings.github is None:
        return dg.SensorResult(skip_reason=dg.SkipReason("no GitHub App is set up"))
    requests: list[dg.RunRequest] = []
    try:
        for repository, done in look_at_all(
            settings, context.instance, settings.run_url, due_only=True
        ):
            requests += [_request(item) for item in done.requests]
            for number, why in done.unread.items():
                context.log.warning(f"{repository}#{number} is left alone: {why}")
            for name, why in done.unkept.items():
                context.log.warning(
                    f"{name} does not know since when merged pull requests of {repository} wait: {why}"
                )
    except RateLimited as waiting:
        # What was decided for the repositories before is started; the others are looked at again.
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason(waiting.what),
        )
    except PlatformError as error:
        if not requests:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.error(str(error))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason("nothing to start"),
    )


def _request(item: Request) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=item.key, job_name=item.job, partition_key=item.environment, tags=dict(item.tags)
    )
