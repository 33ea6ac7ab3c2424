#pragma once

namespace pikv::perf {

/// Multiply-adds of bytes by VNNI in registers, `count` of them; returns something to keep.
int multiply_bytes(double count);
/// The same of bf16 by full tiles of AMX; the process has leave to use them.
int multiply_tiles(double count);

}  // namespace pikv::perf
