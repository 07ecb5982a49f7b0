"""Device models: what each kind of simulated device measures, as columns over ticks and devices."""

from firmware_sim.models.counter import Counter
from firmware_sim.models.device_model import Channel, DeviceModel, Surroundings
from firmware_sim.models.machines import Motor, Press, Pump
from firmware_sim.models.power import PowerMeter
from firmware_sim.models.room import Room
from firmware_sim.models.tank import Tank
from firmware_sim.models.weather import WeatherStation

MODELS: tuple[type[DeviceModel], ...] = (Press, Pump, Motor, Tank, Room, PowerMeter, Counter, WeatherStation)
"""Every kind of device."""

__all__ = ["MODELS", "Channel", "DeviceModel", "Surroundings"]
