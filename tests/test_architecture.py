"""The arrows run one way: what a module imports stands in its own row or below, and nothing goes round in a circle."""

from graphlib import TopologicalSorter

from scripts.docgen.architecture import ROWS, imports, room_imports, room_of, rooms, row_of

#: third-party package -> the modules or rooms that may import it at all
ALLOWED = {
    "torch": ("moesize.probe",),
    "transformers": (),
    "huggingface_hub": ("moesize.model.hub", "moesize.model.hub_http"),
    "typer": ("moesize.cli",),
    "rich": ("moesize.cli", "moesize.report"),
}


def test_every_room_stands_in_one_row() -> None:
    assert sorted(room for row in ROWS for room in row.rooms) == rooms()


def test_no_import_points_up() -> None:
    up = [
        f"{here} -> {there}"
        for here, found in room_imports().items()
        for there in found
        if row_of(there) < row_of(here)
    ]
    assert up == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    assert list(TopologicalSorter(room_imports()).static_order())


def test_families_quantisations_and_engines_do_not_know_the_command_line_or_the_terminal() -> None:
    arithmetic = ("engines", "compute", "memory", "quant", "model", "hardware")
    shown = ("typer", "rich", "sys")
    found = [one for one in imports() if room_of(one.module) in arithmetic and one.target.split(".")[0] in shown]
    assert [one.module for one in found if not one.module.endswith(".build_index")] == []


def test_heavy_packages_stay_in_their_rooms() -> None:
    outside = [
        f"{one.module} imports {package}"
        for one in imports()
        for package, places in ALLOWED.items()
        if one.target.split(".")[0] == package
        and not any(one.module == place or one.module.startswith(f"{place}.") for place in places)
    ]
    assert outside == []


def test_torch_and_the_hub_are_imported_when_they_are_used() -> None:
    early = [one for one in imports() if one.at_load and one.target.split(".")[0] in ("torch", "huggingface_hub")]
    assert [f"{one.module} imports {one.target}" for one in early if not one.module.startswith("moesize.probe.")] == []


def test_nothing_above_the_model_reads_a_raw_configuration() -> None:
    """`Fields` reads configurations; only the model's own rooms, and the quantisation a checkpoint declares, use it."""
    readers = {room_of(one.module) for one in imports() if one.target == "moesize.model.fields"}
    assert readers <= {"model", "quant"}
