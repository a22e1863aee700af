import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

NEEDS = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton comes with torch for CUDA only")


@NEEDS
def test_tiles_are_the_written_out_iteration_in_the_interpreter() -> None:
    # Triton decides when it is imported whether it interprets; a process of its own leaves the others alone.
    done = subprocess.run(
        [sys.executable, "-m", "tests.transport.fused_truth"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 100


@NEEDS
@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("width", [64, 140])
def test_tiles_compile_for_gpus_and_fit_their_shared_memory(capability: int, width: int) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from raymm.transport import fused

    for kernel, out in ((fused._sum_columns, "logs"), (fused._sum_rows, "sums")):
        floats = dict.fromkeys(("left", "right", "row_offsets", "column_offsets"), "*fp32")
        types = {**floats, out: "*fp64", "sizes": "*i64", "WIDTH": "constexpr"}
        aligned = {(place,): [["tt.divisibility", 16]] for place in range(6)}
        source = ASTSource(fn=kernel, signature=types, constexprs={"WIDTH": width}, attrs=aligned)
        compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_stages": 2})
        assert len(compiled.asm["cubin"]) > 1000
        assert 0 < compiled.metadata.shared <= 64 << 10


@NEEDS
@pytest.mark.gpu
def test_tiles_are_the_written_out_iteration_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from tests.transport.fused_truth import check

    assert check("cuda") > 100
