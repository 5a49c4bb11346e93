"""The mode that chooses by itself."""

from sscaffe.conv.direct_dense import DirectDense


class Auto(DirectDense):
    """Dense for now: nothing is measured yet, and dense is never slower than dense."""

    mode_name = "AUTO"

    @property
    def description(self) -> str:
        """Which code really runs, and why where that is not what was asked for."""
        return "AUTO: dense (measuring candidates is not built yet)"
