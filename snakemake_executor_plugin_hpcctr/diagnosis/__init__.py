"""Why a task failed: evidence → cause and advice, without I/O."""

from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause, Diagnosis, Evidence
from snakemake_executor_plugin_hpcctr.diagnosis.rules import RETRYABLE, diagnose
from snakemake_executor_plugin_hpcctr.diagnosis.text import render

__all__ = ["RETRYABLE", "Cause", "Diagnosis", "Evidence", "diagnose", "render"]
