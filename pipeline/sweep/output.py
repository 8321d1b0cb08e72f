"""Output: claimed by its first file, resumed and refused in one way, whatever its kind: sweep, evaluation or study."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar

from pydantic import TypeAdapter

from pipeline import UserError
from pipeline.diffusion.model import ModelInfo
from pipeline.diffusion.schedule import Schedule
from pipeline.storage.sealed import fingerprint
from pipeline.storage.store import DamagedFileError, Storage, StorageError
from pipeline.sweep.grid import assert_versions
from pipeline.sweep.layout import TOP, slug_of
from pipeline.sweep.result import Result

T = TypeVar("T")
AnOutput = TypeVar("AnOutput", bound="Output")


class Output(ABC):
    """An output that is opened, and what is planned in it."""

    first_file: ClassVar[str]
    """The name of the file that claims it and describes it."""
    format: ClassVar[int]
    """The format of its first file and of all that follows from it; a first file without a number has format 1."""

    config: Any
    """What the user asks for: a frozen model with at least `out`."""
    model: ModelInfo
    identity: dict[str, Any]
    """What its images depend on besides their settings."""
    storage_options: dict[str, Any] | None
    patience: float | None = None
    """Seconds for which a failing request is retried; None for the storage's own."""

    @property
    @abstractmethod
    def folders(self) -> dict[str, dict[str, str]]:
        """Folder below `url` → slug of a planned setting → the fingerprint in that setting's files."""

    @property
    def out(self) -> str:
        """The folder or URL that the user gave."""
        return str(self.config.out)

    @property
    def url(self) -> str:
        """The folder or URL of its first file and results: `out`, or a folder in it."""
        return self.out

    @cached_property
    def storage(self) -> Storage:
        """The storage of `out`."""
        return Storage(self.out, self.storage_options, self.patience)

    @cached_property
    def home(self) -> Storage:
        """The storage of `url`."""
        return self.storage if self.url == self.out else Storage(self.url, self.storage_options, self.patience)

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule of the model."""
        return self.model.schedule()

    @cached_property
    def notes(self) -> list[str]:
        """Lines for the user on what the output is made of; in every kind, on the model."""
        return list(self.model.notes)

    @cached_property
    def result(self) -> Result:
        """The result.json of this run."""
        return Result(self.home, Storage(self.url, self.storage_options, patience=0))

    @property
    def whole_identity(self) -> dict[str, Any]:
        """The identity of everything in it: that of the images, and in some kinds what they are measured by."""
        return self.identity

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the content of the first file."""

    @abstractmethod
    def saved(self) -> Self:
        """Return what the first file has now: another process may have claimed the output since. See `read_first`."""

    def beside(self, saved: Self) -> Self:
        """Return this with what `saved`, of the same output, says of files of other grids."""
        return self


def load(kind: type[T], saved: Any) -> T:
    """Return the dataclass or model that this or another release saved as plain values.

    Fields that this release does not know are passed over, and those that are missing have their default.

    Raises:
        ValidationError: a field without a default is missing, or a value is impossible.

    """
    return TypeAdapter(kind).validate_python(saved, extra="ignore")


def refuse_newer(where: str, saved: dict[str, Any], known: int) -> None:
    """Check the number of a saved description's format. Raises UserError."""
    if (number := saved.get("format", 1)) > known:
        raise UserError(f"{where} has format {number}, and this release reads up to {known}: use a later one")


def open_folder(option: str, url: str, storage_options: dict[str, Any] | None) -> tuple[Storage, list[str]]:
    """Return the folder that a job's option names, and the names at its top; no names if it does not exist yet.

    Raises:
        UserError: the folder cannot be opened or listed.

    """
    try:
        storage = Storage(url, storage_options)
        return storage, storage.names()
    except (OSError, ValueError, TypeError, ImportError, StorageError) as error:  # bucket, protocol, package, option
        raise UserError(f"{option} {url}: {error}") from error


def read_first(kind: type[Output], storage: Storage, parse: Callable[[dict[str, Any]], T]) -> T:
    """Return parse(content) of the first file of an output.

    Raises:
        UserError: it has a later format, a version of a sampler that this release does not have, or `parse` fails.
        DamagedFileError: it is missing or broken.

    """
    where = f"--out {storage.url}"
    try:
        saved = storage.read_json(kind.first_file)
        refuse_newer(where, saved, kind.format)
        assert_versions(storage.url, saved.get("samplers", {"ddim": 1}))  # which format 1 left out
        return parse(saved)
    except UserError:
        raise
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:  # ValidationError is a ValueError
        raise UserError.because(f"{where}: its {kind.first_file} is not one of this release", error) from error


def find_saved(
    kind: type[Output], url: str, storage_options: dict[str, Any] | None, parse: Callable[[dict[str, Any]], T]
) -> tuple[list[str], T | None]:
    """Return the names at the top of a place, and parse(content) of its first file, if it has one.

    Raises:
        UserError: the place cannot be opened, or its first file is damaged, or see `read_first`.

    """
    storage, names = open_folder("--out", url, storage_options)
    if kind.first_file not in names:
        return names, None
    try:
        return names, read_first(kind, storage, parse)
    except DamagedFileError as error:
        text = f"--out {error}: move {kind.first_file} away, and the same command goes on from the files"
        raise UserError(text) from error


def resumed(output: AnOutput, names: list[str], saved: AnOutput | None) -> AnOutput:
    """Return an output that goes on in its place; `names` and `saved` are those of `find_saved`.

    Raises:
        UserError: the place is another's, or holds something else.

    """
    if saved is not None:
        _assert_same(output, saved)
        return output.beside(saved)
    ours = {*TOP, *output.folders}
    # a writer that was killed leaves .NAME.….tmp; claiming removes it
    if foreign := [name for name in names if name not in ours and (name[0], name[-4:]) != (".", ".tmp")]:
        raise UserError(
            f"--out {output.url} holds {foreign[0]!r} and no {output.first_file}: give an empty or a new folder"
        )
    if names:
        _assert_files_are_of(output)
    return output


def _assert_same(output: Output, saved: Output) -> None:
    known, asked = saved.whole_identity, output.whole_identity
    differing = [name for name in {**asked, **known} if known.get(name) != asked.get(name)]
    if not differing:
        return
    names, advice = list(output.identity), "give another --out"
    if not set(differing) & set(names):
        names, advice = list(asked), f"measure it by jobs/evaluate.py, or {advice}"
    of_saved, of_asked = (fingerprint({name: identity.get(name) for name in names}) for identity in (known, asked))
    texts = "; ".join(f"{name} {known.get(name)} there, {asked.get(name)} here" for name in differing)
    raise UserError(f"--out {output.url} has fingerprint {of_saved}, this run {of_asked} ({texts}): {advice}")


def _assert_files_are_of(output: Output) -> None:
    """Check by a file of each folder that a place without a first file is this output's. Raises UserError."""
    listed = [path for path, size in sorted(output.home.find().items()) if size and path.endswith(".parquet")]
    for folder, planned in output.folders.items():
        path = next((path for path in listed if path.startswith(f"{folder}/") and slug_of(path) in planned), None)
        if path is None:
            continue
        own = planned[slug_of(path)]
        try:
            carried = output.home.read_table(path, lambda table, metadata: metadata["fingerprint"])
            if carried != own:
                where = f"{output.url}/{path}"
                raise DamagedFileError(f"{where}: it has fingerprint {carried}, this run has {own}")
        except DamagedFileError as error:
            text = f"--out {error}: without {output.first_file} nothing says more, give another --out"
            raise UserError(text) from error
