"""Bills of materials."""

from service.domain.materials import Materials


class CycloneDx:
    """`service.ports.Boms`."""

    def __init__(self, *, version: str) -> None:
        self._version = version  # of Kiln

    @staticmethod
    def warm() -> None:
        """Load what `write` needs, so that the first release does not wait for it."""
        import service.adapters.cyclonedx_bom  # noqa: F401, PLC0415

    def write(self, materials: Materials) -> bytes:
        from service.adapters.cyclonedx_bom import bill  # noqa: PLC0415  # not at every start

        return bill(materials, version=self._version)
