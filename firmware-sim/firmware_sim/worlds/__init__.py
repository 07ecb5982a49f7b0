"""Worlds: sites with cause and effect that simulated devices measure. A new one is a file and a line in the tuple."""

from common.suggestions import unknown
from firmware_sim.worlds.cold_chain import ColdChain
from firmware_sim.worlds.machine_hall import MachineHall
from firmware_sim.worlds.office_building import OfficeBuilding
from firmware_sim.worlds.smart_home import SmartHome
from firmware_sim.worlds.solar_battery import SolarBattery
from firmware_sim.worlds.vehicle_fleet import VehicleFleet
from firmware_sim.worlds.water_network import WaterNetwork
from firmware_sim.worlds.world import World

WORLDS: tuple[World, ...] = (
    MachineHall(),
    ColdChain(),
    WaterNetwork(),
    SolarBattery(),
    OfficeBuilding(),
    VehicleFleet(),
    SmartHome(),
)
"""Every world."""


def find_world(name: str) -> World:
    """The world of this name. Raises ValueError with the nearest name."""
    known = {world.name: world for world in WORLDS}
    if name not in known:
        raise ValueError(unknown(name, known, "world"))
    return known[name]
