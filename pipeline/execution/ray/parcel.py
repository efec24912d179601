"""The files of a data set that is ready, in one piece of memory, as another machine gets them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data import datasets
from pipeline.paths import data_dir
from pipeline.preparation import cache
from pipeline.task.source import DataSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Parcel:
    """What is trained on; of one's own data without the file that they were read from.

    Attributes:
        data: which.
        fingerprint: of their content, by which they are known where that file is not.
        sizes: bytes of each file, by its path in the cache of data sets.
        content: all files, one after the other, uint8 (n,); an object store of Ray's hands it to
            all processes of a machine without a copy.
    """

    data: DataSpec
    fingerprint: str
    sizes: dict[str, int]
    content: "NDArray[np.uint8]"

    @classmethod
    def of(cls, data: DataSpec) -> "Parcel":
        """Makes data ready here, unless they are, and packs them.

        Raises:
            UsageError: they cannot be read, split or learned from; the text says where and why.
            PipelineError: they cannot be had, or the cache cannot be written.
        """
        import numpy as np

        folder = datasets.fetch(data)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        pieces = [np.fromfile(path, np.uint8) for path in files]
        names = [path.relative_to(data_dir()).as_posix() for path in files]
        sizes = {name: len(piece) for name, piece in zip(names, pieces, strict=True)}
        return cls(data, datasets.fingerprint(data), sizes, np.concatenate(pieces))

    def unpack(self, folder: Path) -> None:
        """Writes all files into a folder, which becomes this process's cache of data sets.

        Raises:
            OSError: the disk does not take them.
        """
        start = 0
        for name, size in self.sizes.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            self.content[start : start + size].tofile(folder / name)
            start += size
        os.environ["PIPELINE_DATA_DIR"] = str(folder)
        cache.note_elsewhere(self.data, self.fingerprint)
