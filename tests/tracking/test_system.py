import psutil

from raymm.tracking.system import PREFIX, SystemSampler


def test_samples_have_mlflows_names_and_this_machines_numbers():
    sampler = SystemSampler()
    for _ in range(2):
        found = sampler.sample()
        assert all(name.startswith(PREFIX) for name in found)
        assert 0 <= found["system/cpu_utilization_percentage"] <= 100
        used = psutil.virtual_memory().used / 1e6
        assert abs(found["system/system_memory_usage_megabytes"] - used) < 0.5 * used + 2000
        assert found["system/disk_available_megabytes"] > 0
