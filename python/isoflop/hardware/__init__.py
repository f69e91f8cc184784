"""Machines: what this process runs on, what published devices can do, what this machine was measured to do."""

from isoflop.hardware.devices import DEVICES as DEVICES
from isoflop.hardware.devices import Device as Device
from isoflop.hardware.devices import Peak as Peak
from isoflop.hardware.devices import device as device
from isoflop.hardware.devices import read_devices as read_devices
from isoflop.hardware.energy import Energy as Energy
from isoflop.hardware.energy import energy as energy
from isoflop.hardware.energy import unreadable as unreadable
from isoflop.hardware.machine import Gpu as Gpu
from isoflop.hardware.machine import Info as Info
from isoflop.hardware.machine import available_bytes as available_bytes
from isoflop.hardware.machine import cores as cores
from isoflop.hardware.machine import cpu_model as cpu_model
from isoflop.hardware.machine import gpus as gpus
from isoflop.hardware.machine import info as info
from isoflop.hardware.machine import memory_bytes as memory_bytes
from isoflop.hardware.machine import parse_gpus as parse_gpus
from isoflop.hardware.measured import Ceiling as Ceiling
from isoflop.hardware.measured import peak_of_this_machine as peak_of_this_machine
