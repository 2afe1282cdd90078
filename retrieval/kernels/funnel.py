"""Why ads may not be shown, counted by the first rule that each fails."""

from __future__ import annotations

import numpy as np
from numba import njit

from retrieval.kernels.bits import ONE


@njit(cache=True, nogil=True, no_cfunc_wrapper=True)
def count_misfits(  # type: ignore[no-untyped-def]
    counts, all_slots, line_slots, unrestricted, refused, mistargeted, live, ad_start, alive,
    kind, accepted, taken_secure, taken, codes,
):  # fmt: skip
    """Count each ad under the code of the first rule that it fails.

    `codes`: of size, secure, attributes, placement, paused; `refused` and `mistargeted` hold
    their own.
    """
    for line in range(refused.size):
        bit = np.uint64(line & 63)
        open_slots = all_slots
        if not (unrestricted[line >> 6] >> bit) & ONE:
            open_slots = line_slots[line]
        running = (live[line >> 6] >> bit) & ONE
        for row in range(ad_start[line], ad_start[line + 1]):
            k = kind[row]
            if not accepted[k]:
                counts[codes[0]] += 1
            elif not taken_secure[k]:
                counts[codes[1]] += 1
            elif refused[line]:
                counts[refused[line]] += 1
            elif not taken[k]:
                counts[codes[2]] += 1
            elif mistargeted[line]:
                counts[mistargeted[line]] += 1
            elif not taken[k] & open_slots:
                counts[codes[3]] += 1
            elif not (running and alive[row]):
                counts[codes[4]] += 1
