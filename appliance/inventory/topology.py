"""How the GPUs of a machine are joined: NVLink islands, and sockets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import pynvml

from appliance.inventory.nvml_call import known, text

SWITCH = "switch"


def nvlink_islands(handles: Mapping[int, Any]) -> dict[int, str]:
    """GPU index → island for those that NVLink joins with another one; `handles` by index. Raises NVMLError.

    Two GPUs are joined where an active link of one leads to the other, or where links of both lead to an NVSwitch (all
    switches of a machine are one fabric) or to the same device of an unknown kind, unless the driver says that the two
    can't reach each other's memory over NVLink (P2P status). An island is a connected component.
    """
    ends = {index: _link_ends(handle) for index, handle in handles.items()}
    own = {index: _bus_id(known(pynvml.nvmlDeviceGetPciInfo, handle)) for index, handle in handles.items()}
    pairs = [
        (a, b)
        for a, b in combinations(handles, 2)
        if (own[a] in ends[b] or own[b] in ends[a] or (ends[a] & ends[b]) - set(own.values()))
        and _reach_over_nvlink(handles[a], handles[b])
    ]
    groups = [group for group in _components(handles, pairs) if len(group) > 1]
    return {index: f"nvlink-{number}" for number, group in enumerate(groups) for index in group}


def pcie_groups(handles: Mapping[int, Any]) -> dict[int, str]:
    """GPU index → socket that it hangs at; empty where the driver does not tell. Raises NVMLError."""
    levels = {
        (a, b): known(pynvml.nvmlDeviceGetTopologyCommonAncestor, handles[a], handles[b])
        for a, b in combinations(handles, 2)
    }
    if None in levels.values():
        return {}
    near = [pair for pair, level in levels.items() if level <= pynvml.NVML_TOPOLOGY_NODE]
    return {index: f"pcie-{number}" for number, group in enumerate(_components(handles, near)) for index in group}


def _link_ends(handle: Any) -> set[str]:
    """What active links lead to: bus ids, and SWITCH for any NVSwitch. Links to a processor (IBM) join no GPUs."""
    ends = set()
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        if known(pynvml.nvmlDeviceGetNvLinkState, handle, link) != pynvml.NVML_FEATURE_ENABLED:
            continue
        kind = known(pynvml.nvmlDeviceGetNvLinkRemoteDeviceType, handle, link)
        if kind == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH:
            ends.add(SWITCH)
        elif kind != pynvml.NVML_NVLINK_DEVICE_TYPE_IBMNPU:
            ends.add(_bus_id(known(pynvml.nvmlDeviceGetNvLinkRemotePciInfo, handle, link)))
    return ends - {""}


def _bus_id(info: Any) -> str:
    return text(info.busId).lower() if info is not None else ""


def _reach_over_nvlink(a: Any, b: Any) -> bool:
    status = known(pynvml.nvmlDeviceGetP2PStatus, a, b, pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
    return status in (None, pynvml.NVML_P2P_STATUS_OK, pynvml.NVML_P2P_STATUS_UNKNOWN)


def _components(members: Iterable[int], pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of members that pairs join, in the members' order."""
    group = {member: [member] for member in members}
    for a, b in pairs:
        if group[a] is not group[b]:
            joined = sorted(group[a] + group[b])
            group |= dict.fromkeys(joined, joined)
    return [members for first, members in group.items() if members[0] == first]
