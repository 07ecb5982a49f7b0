// Why a reading is not in the database, in words: the reasons that `/counts` tells of.

/** @type {Record<string, string>} */
export const reasons = {
  ignored: "Left out as configured: a route's ignore, or a metric with ignore = true",
  state: "Told in words: kept as a device's state, not as a number",
  deleted: "Of a device that was deleted meanwhile",
  cleared: "An empty payload: the broker's retained message was cleared",
  no_value: "The device says that it has no value",
  text: "Prose: too long, or of the wrong form, to be a state",
  command: "A command to a device: nothing that it measured",
  log: "A line of a device's log",
  metadata: "Describes devices: discovery, units, versions",
  availability: "A device comes or goes: kept as its state",
  copy: "The same as the device sends on another topic",
  retained: "A retained message of an unknown age: kept as the last known value",
  malformed: "Not what the route's codec reads",
  no_reading: "Well formed, but without a number",
  not_finite: "Infinite, or beyond a double's range",
  too_large: "Larger than the limit",
  bad_topic: "The topic is not valid UTF-8, or holds a character that a device's name may not",
  no_route: "No route's filter takes the topic",
  too_many_series: "It would make more series than the limit allows",
  reserved: "Its metric's name is reserved: it begins with device:",
};
