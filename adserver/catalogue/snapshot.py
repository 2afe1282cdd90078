"""One immutable picture of the catalogue, mapped from its folder.

A reader keeps the snapshot it began with: a newer one is a new folder, and a folder that is
removed lives on for whoever has mapped it. Knows neither the database nor how a snapshot is made.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.columns import (
    AdColumns,
    AdvertiserColumns,
    CampaignColumns,
    CataloguePlacement,
    FileFact,
    LineItemColumns,
    Manifest,
    MarketRows,
    Names,
    StoredCreative,
)
from adserver.catalogue.markup import Template
from adserver.decision import Creative
from adserver.errors import AdServerError
from auction.caps import Caps

CURRENT = "CURRENT"
MANIFEST = "manifest.json"
CREATIVES = "creatives.bin"
OFFSETS = "creatives_offset.npy"
ENCODED = "encoded_ads.npy"
ATTEMPTS = 3
"""A snapshot may be replaced, and in the end removed, while it is being opened."""


class SnapshotError(AdServerError):
    """There is no snapshot, or it is not what its manifest says."""

    code = "snapshot"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the server needs of the catalogue but the indices' own folders."""

    folder: Path
    manifest: Manifest
    ads: AdColumns
    encoded: NDArray[np.int32]
    """[N, width(AD_FIELDS)] what the model sees of each ad."""
    line_items: LineItemColumns
    campaigns: CampaignColumns
    advertisers: AdvertiserColumns
    market: MarketRows
    caps: Caps
    sizes: tuple[tuple[int, int], ...]
    placements: Mapping[str, CataloguePlacement]
    names: Names
    templates: Mapping[int, Template]
    creative_offset: NDArray[np.int64]
    """[N + 1] where each stored creative begins."""
    _creatives: mmap.mmap | bytes = field(repr=False)

    @classmethod
    def load(cls, root: Path, verify: bool = True) -> Snapshot:
        """The snapshot that CURRENT names, checked against its manifest.

        Without `verify` only the files' lengths are checked, which is enough for the second
        process that opens the same snapshot.
        """
        for attempt in range(ATTEMPTS):
            version = current_version(root)
            try:
                return cls.open(root / str(version), verify)
            except FileNotFoundError as error:
                if attempt == ATTEMPTS - 1 or current_version(root) == version:
                    raise SnapshotError(f"snapshot {version}: {error.filename} is gone") from error
        raise AssertionError("unreachable")

    @classmethod
    def open(cls, folder: Path, verify: bool = True) -> Snapshot:
        """The snapshot in this folder; FileNotFoundError if it is being removed."""
        manifest = manifest_of(folder)
        check(folder, manifest.files, verify)
        texts = _read_json(folder / "templates.json", dict[int, str])
        return cls(
            folder=folder,
            manifest=manifest,
            ads=_columns(AdColumns, folder / "ads"),
            encoded=np.asarray(np.load(folder / ENCODED, mmap_mode="r")),
            line_items=_columns(LineItemColumns, folder / "line_items"),
            campaigns=_zipped(CampaignColumns, folder / "campaigns.npz"),
            advertisers=_zipped(AdvertiserColumns, folder / "advertisers.npz"),
            market=_read_json(folder / "market.json", MarketRows),
            caps=_zipped(Caps, folder / "caps.npz"),
            sizes=_read_json(folder / "sizes.json", tuple[tuple[int, int], ...]),
            placements=_read_json(folder / "placements.json", dict[str, CataloguePlacement]),
            names=_read_json(folder / "names.json", Names),
            templates={number: Template.parse(text) for number, text in texts.items()},
            _creatives=_mapped(folder / CREATIVES),
            creative_offset=np.asarray(np.load(folder / OFFSETS, mmap_mode="r")),
        )

    @property
    def version(self) -> int:
        return self.manifest.version

    def stored(self, begin: int, end: int) -> memoryview:
        """The creatives of these rows as they are stored, one after the other."""
        first, last = self.creative_offset[[begin, end]].tolist()
        return memoryview(self._creatives)[first:last]

    def creative(self, row: int) -> Creative:
        """The ad as the page will show it; about 10 µs."""
        ads, line_item = self.ads, int(self.ads.line_item[row])
        start, end = self.creative_offset[row : row + 2].tolist()
        stored = msgspec.msgpack.decode(self._creatives[start:end], type=StoredCreative)
        advertiser_id, ad_id = int(ads.advertiser[row]), int(ads.ad_id[row])
        owner = self.names.advertiser[advertiser_id]
        width, height = self.sizes[ads.size[row]]
        bits = int(ads.attributes[row])
        values = {
            **stored.params,
            "title": stored.title,
            "advertiser": owner.name,
            "width": str(width),
            "height": str(height),
        }
        template = self.templates.get(stored.template)
        return Creative(
            ad_id=ad_id,
            creative_id=f"c{ad_id}",
            campaign_id=int(ads.campaign[row]),
            line_item_id=int(self.line_items.line_item_id[line_item]),
            advertiser_id=advertiser_id,
            advertiser=owner.name,
            adomain=owner.domain,
            category=stored.category,
            title=stored.title,
            width=width,
            height=height,
            markup=template.fill(values) if template else stored.markup,
            landing_url=stored.landing_url,
            attributes=tuple(bit + 1 for bit in range(32) if bits >> bit & 1),
            language=stored.language,
        )


T = TypeVar("T")
Columns = TypeVar("Columns", AdColumns, LineItemColumns, CampaignColumns, AdvertiserColumns, Caps)


def current_version(root: Path) -> int:
    """The version that CURRENT names: cheap enough to ask every second."""
    try:
        text = (root / CURRENT).read_text()
    except FileNotFoundError:
        raise SnapshotError(f"no snapshot in {root}: run `adserver catalog build`") from None
    if not text.strip().isdigit():
        raise SnapshotError(f"{root / CURRENT}: {text[:40]!r} is not a version")
    return int(text)


def manifest_of(folder: Path) -> Manifest:
    """What a snapshot says of itself."""
    return _read_json(folder / MANIFEST, Manifest)


def check(folder: Path, files: Mapping[str, FileFact], contents: bool) -> None:
    """Raises SnapshotError, naming the file, unless all files are as the manifest says."""
    for name, fact in files.items():
        size = (folder / name).stat().st_size
        if size != fact.bytes:
            raise SnapshotError(f"{folder / name}: {size} bytes, the manifest says {fact.bytes}")
        if contents and digest(folder / name) != fact.sha256:
            raise SnapshotError(f"{folder / name}: sha256 is not what the manifest says")


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _read_json(file: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"{file}: {error}") from error


def _columns(kind: type[Columns], folder: Path) -> Columns:
    # Plain arrays over the mapped pages: numpy's memmap class would cost microseconds per look.
    files = (folder / f"{one.name}.npy" for one in fields(kind))
    return kind(*(np.asarray(np.load(file, mmap_mode="r")) for file in files))


def _zipped(kind: type[Columns], file: Path) -> Columns:
    with np.load(file) as columns:
        return kind(*(columns[one.name] for one in fields(kind)))


def _mapped(file: Path) -> mmap.mmap | bytes:
    with file.open("rb") as content:
        # an empty file cannot be mapped
        size = file.stat().st_size
        return mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
