"""The families of boards: what a job of each may make, and whether boards update themselves by it."""

from dataclasses import dataclass

from runners.contract.job import FILES_ARTIFACT

ARDUINO = "arduino-avr"
PLATFORMIO, OWN = "platformio", "own"  # families that name their own boards (runners.contract.named_board)
OUTPUTS_ARTIFACT = "outputs.tar"  # what an image of the operator's made


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Boards that share a build image and a recipe."""

    name: str
    artifacts: tuple[str, ...]  # every name that a job of it may upload
    has_bundles: bool  # FILES_ARTIFACT becomes a signed bundle, which boards fetch by themselves


FAMILIES = {
    each.name: each
    for each in (
        Family(name="micropython", artifacts=(FILES_ARTIFACT,), has_bundles=True),
        Family(name=ARDUINO, artifacts=("firmware.elf", "firmware.hex"), has_bundles=False),
        Family(
            name=PLATFORMIO,
            artifacts=("firmware.bin", "firmware.elf", "firmware.hex", "firmware.uf2"),
            has_bundles=False,
        ),
        Family(name=OWN, artifacts=(OUTPUTS_ARTIFACT,), has_bundles=False),
    )
}
