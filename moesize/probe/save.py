"""What a probe leaves for later questions: the constants of this card and driver."""

from moesize.calibration import Measured, write_calibration
from moesize.errors import InputError
from moesize.probe.device import DeviceFacts
from moesize.probe.results import ProbeResult

#: row of the probe -> term of the engines
_TERMS = {"CUDA context": "CUDA context", "beyond torch": "outside torch"}


def refuse_without_constants(facts: DeviceFacts) -> None:
    """Refuse a device that has none of an engine's constants, before anything is measured.

    Raises:
        InputError: host memory.
    """
    if facts.kind == "cpu":
        raise InputError(
            "--save keeps what a card's driver and context take, and host memory has neither; measure on a GPU, or take"
            " the figures from a server's log with `moesize observe LOG --save`"
        )


def calibration_text(result: ProbeResult, date: str) -> str:
    """The calibration file of a run; what lies beyond torch holds for one GPU, because nothing communicates here."""
    facts = result.device
    measured = []
    for row in result.rows:
        if row.term in _TERMS and row.measured_bytes is not None:
            only_for: dict[str, object] = {"tp": 1} if row.term == "beyond torch" else {}
            if result.catalogue is not None:
                only_for["gpu"] = result.catalogue.id
            n_bytes = row.measured_bytes
            measured.append(Measured(_TERMS[row.term], n_bytes, n_bytes, n_bytes, only_for))
    return write_calibration(
        made_by="moesize probe",
        device=facts.name,
        engine=f"{result.asked.engine} {result.asked.engine_version}",
        date=date,
        facts={
            "driver": facts.driver,
            "runtime": facts.runtime,
            "torch": facts.torch,
            "memory_bytes": facts.total_bytes,
            "model": result.asked.model,
            "quant": result.asked.quant,
        },
        measured=tuple(measured),
    )
