// Why a reading is not in the database as a number, in words: the reasons that `/counts` tells of, and what to do.

/** @type {Record<string, string>} */
export const reasons = {
  ignored: "What Driftline itself publishes, and what a route's ignore or a metric with ignore = true leaves out: to have the latter, take that line out.",
  state: "Words such as \"running\", not numbers: kept as the device's states and shown on its page. Nothing to do.",
  deleted: "Of a device that was deleted meanwhile. Nothing to do.",
  cleared: "An empty payload: the broker's retained message was cleared. Nothing to do.",
  no_value: "The device says that it has no value now. Nothing to do, unless it should have one.",
  text: "Prose: too long, or of the wrong form, to be a state. Nothing to do.",
  command: "A command to a device: nothing that it measured. Nothing to do.",
  log: "A line of a device's log: nothing that it measured. Nothing to do.",
  metadata: "Describes devices: discovery, units, versions. Nothing to do.",
  availability: "A device comes or goes: kept as its state. Nothing to do.",
  copy: "The same as the device sends on another topic. Nothing to do.",
  retained: "A retained message of an unknown age: kept as the last known value. Nothing to do.",
  malformed: "Not what the route's codec reads: name another codec in the route, or mend the device, then try them again below.",
  no_reading: "Well formed, but without a number: put the topic into the route's ignore.",
  not_finite: "Infinite, or beyond a double's range: mend the device or its gateway.",
  too_large: "Larger than limits.max_payload: raise it in the configuration, or send less at once.",
  bad_topic: "The topic is not valid UTF-8, or holds a character that a device's name may not: publish to another topic.",
  no_route: "No route's filter takes the topic: add a route for it in the configuration, then try them again below.",
  too_many_series: "It would make more series than limits.max_series: most often a number in the topic that grows without end. Name the device by a template in the route.",
  reserved: "Its metric's name is reserved: it begins with device:. Give the metric another name in the route.",
};
