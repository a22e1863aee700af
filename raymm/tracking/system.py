"""How busy this machine is, under the names by which MLflow shows system metrics."""

from __future__ import annotations

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

PREFIX = "system/"  # MLflow's page of a run has these on a tab of their own


class SystemSampler:
    """Samples CPUs, memory, disk and network by MLflow's own monitors, without its process-wide settings."""

    def __init__(self) -> None:
        self._monitors: tuple[BaseMetricsMonitor, ...] = (CPUMonitor(), DiskMonitor(), NetworkMonitor())

    def sample(self) -> dict[str, float]:
        """Return metrics such as `system/cpu_utilization_percentage`: of the CPUs since the last call, the rest now."""
        found: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.clear_metrics()
            monitor.collect_metrics()
            found.update({f"{PREFIX}{name}": float(value) for name, value in monitor.aggregate_metrics().items()})
        return found
