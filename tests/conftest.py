"""What the suite runs without: `MOESIZE_TESTS_WITHOUT_TORCH=1` leaves out the files that need the oracle's packages.

Without it nothing is skipped: where torch is missing, collecting those files fails. `python -m scripts.floor` sets it.
"""

import os

NEED_TORCH = [
    "compute/test_flops.py",
    "model/families/test_dense.py",
    "model/families/test_moe_a.py",
    "model/test_catalogue_oracle.py",
    "model/test_kv_reference.py",
    "model/test_loader.py",
    "model/test_safetensors.py",
    "probe",
    "quant/test_compressed_tensors.py",
    "quant/test_formats.py",
]

collect_ignore = NEED_TORCH if os.environ.get("MOESIZE_TESTS_WITHOUT_TORCH") == "1" else []
