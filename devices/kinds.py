"""What kind of thing a metric is, by its name and unit: only what is worth watching is scored unless the route says so.

Identities (ids, addresses, ports, versions) are no metrics at all: their numbers measure nothing. They are taken where
a route's `include` names them. The other kinds are metrics; a route's `metrics` setting corrects a kind that is wrong.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

from devices.quantities import without_unit


class Kind(StrEnum):
    """What a metric is."""

    MEASUREMENT = "measurement"
    """A quantity that goes up and down: temperature, power, level."""
    COUNTER = "counter"
    """A total that only grows, until it is reset: energy, rain, volume."""
    STATE = "state"
    """One of few values: on or off, open or closed, a mode."""
    TEXT = "text"
    """A state told in words."""
    BATTERY = "battery"
    """How full a battery is, or its voltage: it falls a little at a time."""
    DIAGNOSTIC = "diagnostic"
    """What a device says of itself: signal strength, uptime, free memory, frame counters."""
    TIME = "time"
    """A point in time or a time of day."""
    POSITION = "position"
    """Where a device is: latitude, longitude."""


SCORED = frozenset({Kind.MEASUREMENT, Kind.COUNTER, Kind.STATE, Kind.BATTERY, Kind.POSITION})
"""Kinds that detectors score by default."""

_IDENTITIES = frozenset(
    re.findall(
        r"\S+",
        """
    id name deviceid devid deveui eui devicename friendlyname serial serialnumber serialno sn mac macaddress ip
    ipaddress imei imsi iccid uuid guid model modelid type devicetype version firmware firmwareversion fw sw hw
    fwver swver hwver hardware hardwareversion software softwareversion unit units uom tempunit src source dst gateway
    gatewayid topic device node nodeid unitid zip zipcode postalcode postcode phone phonenumber pin port fport channel
    channelid protocol protocolid subtype seq seqno sequence sequencenumber msgid messageid packetid deduplicationid
    uplinkid devaddr address addr slaveid slaveaddress cmdid commandid host hostname clientid userid username
    manufacturer vendor product productid groupid ssid bssid networkid panid meterid equipmentid tenantid
    applicationid gwid mic checksum crc crcstatus build revision schema bootloaderversion slave register reg
    dpt dpst dataformat from to payloadraw rawpayload rawdata
    idx hwid seqnumber etag passkey apikey token msgno pkt packetno packetnumber seqnr seqnum hex payloadhex frmpayload
    """,
    )
)
_IDENTITY_ENDINGS = (
    "_id", "Id", "ID", "_eui", "EUI", "_version", "Version", "_unit", "_addr", "_address", "Address", "_serial", "_mac",
    "SequenceNumber", "_sequence", "serial",
)  # fmt: skip

_DIAGNOSTIC = frozenset(
    re.findall(
        r"\S+",
        """
    linkquality lqi rssi snr signal signalstrength wifisignal wifirssi lorasnr esnr dbm spreadingfactor datarate dr sf
    bandwidth frequencyhz batteryok batterylow vcc
    uptime uptimesec heap freeheap freemem freememory loadavg sleep mqttcount fcnt fcntup fcntdown framecounter counter
    bootcount restarts reboots reconnects lastseen cpu ram rawrssi noise sats satellites numsats hdop vdop pdop
    errcode errorcode txpower
    """,
    )
) - {"cpu", "noise", "counter"}
_BATTERY = frozenset(
    {"battery", "batterylevel", "batterypercent", "batterypercentage", "batteryvoltage", "batt", "bat", "vbat"}
)
_COUNTER = frozenset(
    re.findall(
        r"\S+",
        """
    total energy energytotal totalenergy totalforward rain raintotal totalrain rainmm volume totalvolume count pulses
    pulsecount totalin totalout energyin energyout ein eout energyimport energyexport totalimport totalexport
    totalact totalactret totalactenergy totalactretenergy
    odometer mileage energyexported energyimported kwh wh consumption totalizer
    """,
    )
)
_COUNTER_UNITS = frozenset({"Wh", "kWh", "MWh", "Wmin", "GJ", "pulses"})
_STATE = frozenset(
    re.findall(
        r"\S+",
        """
    state status on open opened closed contact occupancy presence motion door window lock locked alarm tamper smoke
    leak waterleak water_leak vibration relay switch output input power_state mode valve_state running active
    """,
    )
) - {"vibration"}
_TIME = frozenset(
    re.findall(
        r"\S+",
        """
        time timestamp ts date datetime epoch unixtime lastseen lastupdate lastupdated minutets createdat updatedat
        receivedat updated lc lastchange lastsuccess totalstarttime sunrise sunset localtime utc tst gwts timestampms
        tsms timems
        """,
    )
)
_POSITION = frozenset({"lat", "lon", "lng", "latitude", "longitude", "gpslat", "gpslon", "gpslatitude", "gpslongitude"})
_STATE_INPUT = re.compile(r"(?:relay|switch|input|output|light|led|door|contact|pump|valve|fan)[._:]?\d*")
_TIME_ENDINGS = ("_ts", "_timestamp", "Timestamp", "_epoch", "Epoch", "_tst", "ed_at", "edAt")
_DIAGNOSTIC_ENDINGS = ("accuracy", "errorcount", "outagecount", "failurecount", "resetcount", "restartcount")
_PARTS = re.compile(r"[./]")
_SQUASHED = re.compile(r"[_\-\s]")


@lru_cache(maxsize=65_536)
def is_identity(name: str) -> bool:
    """Whether a field of this name holds an identity, or what is said of others (`$version`): it is no reading."""
    return name.startswith("$") or name.endswith(_IDENTITY_ENDINGS) or _squash(name) in _IDENTITIES


def kind_of(metric: str, unit: str = "", *, truth: bool = False) -> Kind:
    """The kind of a metric by its name and unit; `truth`: its values are truth values.

    Of a name of several parts (`ENERGY.Total.1`, `Ac/Energy`) the last one that is no place in a list counts.
    """
    parts = [part for part in _PARTS.split(metric) if part and not part.isdecimal()]
    last = parts[-1] if parts else metric
    squashed = _squash(without_unit(last))
    if squashed in _DIAGNOSTIC or unit == "dBm":
        return Kind.DIAGNOSTIC
    if truth:
        return Kind.STATE
    if is_identity(last) or squashed.endswith(_DIAGNOSTIC_ENDINGS):
        return Kind.DIAGNOSTIC
    if squashed in _BATTERY:
        return Kind.BATTERY
    if squashed in _POSITION:
        return Kind.POSITION
    if squashed in _TIME or last.endswith(_TIME_ENDINGS):
        return Kind.TIME
    if unit in _COUNTER_UNITS or squashed in _COUNTER:
        return Kind.COUNTER
    if not unit and (squashed in _STATE or _STATE_INPUT.fullmatch(squashed)):
        return Kind.STATE
    return Kind.MEASUREMENT


def _squash(name: str) -> str:
    return _SQUASHED.sub("", name).lower()
