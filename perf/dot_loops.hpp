#pragma once

namespace pikv::perf {

/// Multiply-adds of bytes by VNNI in registers, `count` of them; returns something to keep.
int multiply_bytes(double count);

}  // namespace pikv::perf
