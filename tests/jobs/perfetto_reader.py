"""Reads Perfetto's trace format, written down here from its published definition (perfetto.dev/docs/reference/trace-packet-proto): messages in
protobuf's wire format, fields by number. A field that is not listed, or of another wire type, is an error."""
# message -> field number -> (name, kind); a kind is "int", "text" or the name of a message
MESSAGES = {
    "Trace": {1: ("packet", "TracePacket")},
    "TracePacket": {8: ("timestamp", "int"), 10: ("trusted_packet_sequence_id", "int"), 11: ("track_event", "TrackEvent"),
                    13: ("sequence_flags", "int"), 60: ("track_descriptor", "TrackDescriptor")},
    "TrackDescriptor": {1: ("uuid", "int"), 2: ("name", "text"), 3: ("process", "ProcessDescriptor"), 5: ("parent_uuid", "int"),
                        8: ("counter", "CounterDescriptor")},
    "ProcessDescriptor": {1: ("pid", "int"), 6: ("process_name", "text")},
    "CounterDescriptor": {3: ("unit", "int")},
    "TrackEvent": {4: ("debug_annotations", "DebugAnnotation"), 9: ("type", "int"), 11: ("track_uuid", "int"), 23: ("name", "text"),
                   30: ("counter_value", "int")},
    "DebugAnnotation": {4: ("int_value", "int"), 6: ("string_value", "text"), 10: ("name", "text")},
}
SLICE_BEGIN, SLICE_END, INSTANT, COUNTER = 1, 2, 3, 4
UNIT_COUNT, UNIT_SIZE_BYTES = 2, 3


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def message(kind, data):
    """Field name -> list of values."""
    fields, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        name, of = MESSAGES[kind][key >> 3]
        if of == "int":
            assert key & 7 == 0, f"{kind}.{name} has wire type {key & 7}"
            value, at = varint(data, at)
        else:
            assert key & 7 == 2, f"{kind}.{name} has wire type {key & 7}"
            length, at = varint(data, at)
            assert at + length <= len(data), f"{kind}.{name} is cut short"
            value, at = data[at:at + length], at + length
            value = value.decode() if of == "text" else message(of, value)
        fields.setdefault(name, []).append(value)
    return fields


def packets(data):
    return message("Trace", data)["packet"]
