"""What libvirt's domain states mean for us."""

from __future__ import annotations

from typing import Any

import libvirt

from hostagent.drivers.base import Power

_POWERS: dict[int, Power] = {
    libvirt.VIR_DOMAIN_RUNNING: Power.ON,
    libvirt.VIR_DOMAIN_BLOCKED: Power.ON,
    # On its way down, but its processors still run.
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.ON,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
}


def read_state(domain: Any) -> Power:
    """Asks libvirtd, once or twice. Raises libvirt.libvirtError."""
    state, reason = domain.state()
    if state != libvirt.VIR_DOMAIN_SHUTOFF:
        return _POWERS.get(state, Power.OFF)
    if domain.hasManagedSaveImage():
        return Power.SAVED
    # Also when QEMU was killed: nobody asked for that.
    return Power.CRASHED if reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED else Power.OFF
