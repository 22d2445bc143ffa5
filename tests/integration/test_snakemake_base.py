"""Snakemake's own tests for executor plugins, on the lab's Slurm."""

from __future__ import annotations

import pytest
from snakemake.common.tests import TestWorkflowsLocalStorageBase

from snakemake_executor_plugin_hpcctr import ExecutorSettings
from tests.integration.workflow import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_environ", "nodes_import_hpcctr")]


@pytest.fixture
def nodes_import_hpcctr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the nodes find the package where this process has it from."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


class TestSlurm(TestWorkflowsLocalStorageBase):  # type: ignore[misc]  # Snakemake has no types
    """A simple workflow and one with groups, as Snakemake hands them to every plugin."""

    __test__ = True

    def get_executor(self) -> str:
        """Name the plugin."""
        return "hpcctr"

    def get_executor_settings(self) -> ExecutorSettings:
        """Leave all settings at their defaults."""
        return ExecutorSettings()
