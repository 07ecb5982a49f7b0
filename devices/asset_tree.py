"""Registry: the plant as a tree: devices below values of their labels, or below the levels of their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asset:
    """A device, as far as a tree needs it."""

    device: str
    labels: Mapping[str, str]
    is_silent: bool = False
    open_alarms: int = 0


@dataclass(slots=True)
class AssetNode:
    """A part of the plant: how many devices it has, those of its parts among them, how many are not heard from, and how
    many of their alarms are open; its parts by name; and the devices that are in no part of it.
    """

    name: str
    devices: int = 0
    silent: int = 0
    open_alarms: int = 0
    parts: dict[str, AssetNode] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)

    def add(self, asset: Asset, way: Sequence[str]) -> None:
        """Take in a device that is down this way of parts."""
        node: AssetNode | None = None
        for name in ("", *way):
            node = self if node is None else node.parts.setdefault(name, AssetNode(name))
            node.devices += 1
            node.silent += asset.is_silent
            node.open_alarms += asset.open_alarms
        if node is not None:
            node.members.append(asset.device)


def asset_tree(assets: Iterable[Asset], by: Sequence[str] = ()) -> AssetNode:
    """The tree of some devices, by the values of labels, the first outermost; without labels by the levels of names.

    A device that lacks a label is in the part `no LABEL`. Parts and devices are in order of the alphabet.
    """
    root = AssetNode("")
    for asset in sorted(assets, key=lambda each: each.device):
        way = [asset.labels.get(label) or f"no {label}" for label in by] if by else asset.device.split("/")[:-1]
        root.add(asset, way)
    _sort(root)
    return root


def _sort(node: AssetNode) -> None:
    node.parts = dict(sorted(node.parts.items()))
    for part in node.parts.values():
        _sort(part)
