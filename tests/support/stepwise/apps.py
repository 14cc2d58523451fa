from django.apps import AppConfig


class StepwiseConfig(AppConfig):
    """Leaves a step no time for more than what it verifies in any case."""

    name = "tests.support.stepwise"

    def ready(self) -> None:
        from audit.evidence import verification

        verification.STEP_SECONDS = 0.0  # type: ignore[misc]
