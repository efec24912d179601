"""Optuna's own tests of a sampler, run on our TPE."""

from collections.abc import Callable

import optuna
import pytest
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase

from pipeline.search.recent_tpe import RecentTPE


class TestRecentTPE(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: RecentTPE(n_startup_trials=0, seed=1)
