"""Reads Parquet and CSV files a piece at a time, whatever their size.

All columns of a CSV file are read as text: what is no number shows later, row by row, and costs a row, not
the file. A file that can't be read at all raises DataError that names it.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from features.errors import DataError

_ROWS = 262_144
"""Of a Parquet file at a time."""
_BLOCK_BYTES = 4 * 2**20
"""Of a CSV file at a time; some tens of blocks are read ahead."""
_HEAD_BYTES = 1 << 16
_USUALLY_PACKED = 4
"""So many times smaller gzip makes such text."""
_MISSING = ["", "nan", "NaN", "NAN", "null", "NULL", "None", "NA"]


@dataclass(frozen=True, slots=True)
class TextForm:
    """How the text of a CSV file is laid out."""

    delimiter: str
    first_line: tuple[str, ...]
    """The fields of its first line."""

    @property
    def has_header(self) -> bool:
        """Whether the first line names columns: none of its fields is a number."""
        return not any(_is_number(field) for field in self.first_line)


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet files do."""
    with readable(path), path.open("rb") as file:
        return file.read(4) == b"PAR1"


def parquet_names(path: Path) -> list[str]:
    """The columns of a Parquet file."""
    with readable(path):
        return list(pq.read_schema(path).names)


def text_form(path: Path) -> TextForm:
    """Delimiter and first line of a CSV file."""
    with readable(path), _opened(path)[0] as stream:
        head = stream.read(_HEAD_BYTES).decode("utf-8-sig", "replace")
    line = head.splitlines()[0] if head.strip() else ""
    if not line:
        raise DataError("the file is empty", str(path), "leave it out")
    delimiter = max(",;\t|", key=line.count)
    return TextForm(
        delimiter, tuple(field.strip() for field in next(csv.reader([line], delimiter=delimiter)))
    )


def parquet_pieces(path: Path, columns: list[str]) -> Iterator[tuple[pa.Table, float]]:
    """The rows of a Parquet file in order, with the part of the file that has been read then."""
    with readable(path):
        file = pq.ParquetFile(path)
        rows = 0
        for batch in file.iter_batches(_ROWS, columns=columns):
            rows += batch.num_rows
            yield pa.Table.from_batches([batch]), rows / file.metadata.num_rows


def text_pieces(
    path: Path,
    form: TextForm,
    names: tuple[str, ...] | None,
    columns: list[str],
    malformed: Callable[[str], None],
) -> Iterator[tuple[pa.Table, float]]:
    """The rows of a CSV file in order, all of them text; null where a field says that it is missing.

    `names` are those of its columns, None: they are in the header. A line with too many or too few fields
    goes to `malformed`.
    """

    def skip(row: Any) -> str:
        malformed(row.text)
        return "skip"

    given = list(names if names is not None else form.first_line)
    with readable(path):
        stream, size = _opened(path)
        with stream:
            reader = pa_csv.open_csv(
                stream,
                read_options=pa_csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    column_names=given,
                    skip_rows=1 if form.has_header else 0,
                ),
                parse_options=pa_csv.ParseOptions(delimiter=form.delimiter, invalid_row_handler=skip),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(given, pa.string()),
                    include_columns=columns,
                    null_values=_MISSING,
                    strings_can_be_null=True,
                ),
            )
            for number, batch in enumerate(reader, start=1):
                yield pa.Table.from_batches([batch]), min(number * _BLOCK_BYTES / size, 1.0)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong with reading a file into DataError."""
    try:
        yield
    except (OSError, pa.ArrowException, zipfile.BadZipFile, EOFError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        )
        raise DataError(
            f"can't be read: {reason}", str(path), "give a Parquet, CSV or zipped CSV file"
        ) from error


def _opened(path: Path) -> tuple[Any, int]:
    """The bytes of a CSV file, unpacked, and about how many they are."""
    size = max(path.stat().st_size, 1)
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        inside = [one for one in archive.infolist() if not one.is_dir()]
        if len(inside) != 1:
            raise DataError(f"holds {len(inside)} files, not one", str(path), "unpack it")
        return archive.open(inside[0]), max(inside[0].file_size, 1)
    if path.suffix == ".gz":
        return pa.input_stream(str(path), compression="gzip"), size * _USUALLY_PACKED
    return path.open("rb"), size


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
