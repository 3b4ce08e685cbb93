"""What a cluster will do to a run: query SLURM and the files, judge their answers, report what to change. No jax."""

from ._check_cluster import check_cluster as check_cluster
from ._check_result import CheckResult as CheckResult
from ._check_result import Severity as Severity
from ._report import ReportPrinter as ReportPrinter
from ._report import summary_line as summary_line
from ._test_job import TestJob as TestJob
