"""bf16 numbers as their bits, in little-endian arrays of u16; numpy has no such type."""


def widened(bits):
    return (bits.astype("<u4") << 16).view("<f4")


def narrowed(values):
    """To nearest, ties to even."""
    bits = values.astype("<f4").view("<u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
