"""The table `[data]` of a study file."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.reading.column import ColumnKind
from pipeline.reading.dates import is_format
from pipeline.reading.tables import TYPES

_Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


def _check_type(found: str) -> str:
    if found not in list(ColumnKind) and not is_format(found):
        raise ValueError(f"found {found!r}, allowed is {TYPES}")
    return found


_Type = Annotated[str, AfterValidator(_check_type)]
_Names = Annotated[tuple[str, ...], Field(strict=False)]


class DataSettings(BaseModel):
    """The table `[data]`: how a data set of one's own is read, split and weighed.

    Attributes:
        task: "classification" or "regression"; found out if not given.
        types: kinds of columns that are not to be found out, by name: "number", "boolean",
            "category", "date" or "text", or how dates are written, such as "%m/%d/%Y".
        missing: texts that mean a missing value, besides those that always do.
        drop: columns that are left out.
        text: what becomes of columns of free text.
        delimiter: of a CSV file; found out if not given, as are encoding and decimal.
        encoding: of a CSV file.
        decimal: sign in numbers of a CSV file.
        image_size: height and width to which pictures are resized; if not given, their own if all
            have the same, else the median, 64 at most.
        colour: whether pictures have three channels; found out if not given.
        validation: share of all rows.
        test: share of all rows, sealed; a data set that brings a test set keeps it.
        seed: of the split.
        group: column whose values each stand in one part only.
        time: column by which the parts follow each other: training, validation, test.
        folds: cross-validates each trial on all but the test rows, instead of one split.
        weight: column with the weight of each row.
        class_weights: "balanced", or the weight of each class by name; in training alone.
        target_transform: "log" trains a regression on the logarithm of a positive target.
        loss: what training descends; of a regression one of three, of classes cross-entropy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    task: Literal["classification", "regression"] | None = None
    types: dict[str, _Type] = {}
    missing: _Names = ()
    drop: _Names = ()
    text: Literal["drop", "refuse"] = "drop"
    delimiter: str | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] | None = None
    image_size: Annotated[tuple[int, int], Field(strict=False)] | None = None
    colour: bool | None = None
    validation: _Share = 0.2
    test: _Share = 0.2
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    group: str = ""
    time: str = ""
    folds: Annotated[int, Field(ge=2, le=20)] | None = None
    weight: str = ""
    class_weights: Literal["balanced"] | dict[str, float] | None = None
    target_transform: Literal["none", "log"] = "none"
    loss: Literal["squared", "absolute", "huber"] | None = None
